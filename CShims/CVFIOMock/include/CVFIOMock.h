// System calls that the mock makes and that Swift cannot import, each returning its result or a negative errno.

#ifndef CVFIOMOCK_H
#define CVFIOMOCK_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#else
#define _Nullable
#define _Nonnull
#endif

/// memfd_create(2), close-on-exec, and ftruncate(2) to `size` bytes.
int cmock_memory_file(const char *name, uint64_t size);
/// pipe2(2), close-on-exec. Returns the read end, and stores the write end in `writer`.
int cmock_pipe(int *writer);
/// fstat(2): the device and inode numbers, which identify a file.
int cmock_file_identity(int fd, uint64_t *device, uint64_t *inode);
/// fstatfs(2). Returns 1 for a file of tmpfs or hugetlbfs, such as a memfd, 0 for others.
int cmock_is_memory_file(int fd);
/// process_vm_readv(2) and process_vm_writev(2) on this process: copies that return an error instead of raising
/// SIGSEGV. Return the number of bytes copied, which may be less than `count`.
int64_t cmock_read_own_memory(void *into, uint64_t address, size_t count);
int64_t cmock_write_own_memory(uint64_t address, const void *from, size_t count);
/// Adds 1 to a blocking or non-blocking eventfd; does nothing if that would block.
int cmock_signal_event(int fd);
/// Reads and resets an eventfd's count; 0 if the count is 0.
uint64_t cmock_take_event(int fd);
/// Returns 1 for an eventfd, 0 for any other descriptor, -EBADF for a closed one.
int cmock_is_event(int fd);
/// The kernel's ID of an eventfd, which all of its descriptors share; -1 for other files.
int64_t cmock_event_identity(int fd);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
