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
/// pipe2(2), close-on-exec: gives the end to read, and puts the end to write into `writer`.
int cmock_pipe(int *writer);
/// fstat(2): what tells one file from another.
int cmock_file_identity(int fd, uint64_t *device, uint64_t *inode);
/// fstatfs(2): 1 for a file of tmpfs or hugetlbfs, as memfds are, 0 for others.
int cmock_is_memory_file(int fd);
/// process_vm_readv(2) and process_vm_writev(2) on this process: copies that fail where a plain one would be a SIGSEGV.
/// The number of bytes, which may be fewer than asked for.
int64_t cmock_read_own_memory(void *into, uint64_t address, size_t count);
int64_t cmock_write_own_memory(uint64_t address, const void *from, size_t count);
/// Makes a blocking eventfd and a non-blocking one alike: adds 1, or does nothing where that would block.
int cmock_signal_event(int fd);
/// Takes an eventfd's count, 0 when there is none.
uint64_t cmock_take_event(int fd);
/// 1 for an eventfd. 0 for any other descriptor, -EBADF for none.
int cmock_is_event(int fd);
/// The number that the kernel gives to an eventfd, the same for all of its descriptors; -1 for anything else.
int64_t cmock_event_identity(int fd);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
