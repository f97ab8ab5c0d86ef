// The system calls that the library makes, each returning its result or a negative errno.
//
// Swift can call most of these itself. They are wrapped because errno must be read before other code runs, and in Swift
// a retain, a release or a closure may run between a call and the next line. None of them retries on EINTR; the caller
// decides that.

#ifndef CVFIO_SYSCALLS_H
#define CVFIO_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#else
// Nullability is only for Swift's importer, which is clang.
#define _Nullable
#define _Nonnull
#endif

/// open(2). O_CLOEXEC is always added.
int cvfio_sys_open(const char *path, int flags);
/// close(2). EINTR counts as success: Linux has released the descriptor by then.
int cvfio_sys_close(int fd);
/// fcntl(2) with F_DUPFD_CLOEXEC.
int cvfio_sys_duplicate(int fd);
/// ioctl(2) whose argument is a pointer.
int64_t cvfio_sys_ioctl(int fd, unsigned long request, void *_Nullable argument);
/// ioctl(2) whose argument is a number.
int64_t cvfio_sys_ioctl_value(int fd, unsigned long request, unsigned long value);
/// read(2), write(2), pread(2), pwrite(2). Return the number of bytes.
int64_t cvfio_sys_read(int fd, void *buffer, size_t count);
int64_t cvfio_sys_write(int fd, const void *buffer, size_t count);
int64_t cvfio_sys_pread(int fd, void *buffer, size_t count, int64_t offset);
int64_t cvfio_sys_pwrite(int fd, const void *buffer, size_t count, int64_t offset);
/// lseek(2).
int64_t cvfio_sys_seek(int fd, int64_t offset, int whence);
/// mmap(2). On success stores the address in `result` and returns 0.
int cvfio_sys_mmap(void *_Nullable address, size_t length, int protection, int flags, int fd, int64_t offset,
                   void *_Nullable *_Nonnull result);
int cvfio_sys_munmap(void *address, size_t length);
/// eventfd(2) with EFD_CLOEXEC and EFD_NONBLOCK, counting from 0.
int cvfio_sys_eventfd(void);
/// epoll_create1(2) with EPOLL_CLOEXEC.
int cvfio_sys_epoll(void);
/// epoll_ctl(2): adds a descriptor for EPOLLIN, with a tag, or removes it.
int cvfio_sys_epoll_add(int set, int fd, uint64_t tag);
int cvfio_sys_epoll_remove(int set, int fd);
/// epoll_wait(2) that does not wait. Stores the tags of readable descriptors, at most `count`, and returns their number.
int cvfio_sys_epoll_ready(int set, uint64_t *tags, int count);
/// poll(2) for POLLIN on one descriptor. Returns 1 when readable, 0 after `timeout` milliseconds (-1: no limit).
int cvfio_sys_poll_readable(int fd, int timeout);
/// sendmsg(2) of one byte with one descriptor as SCM_RIGHTS.
int cvfio_sys_send_descriptor(int socket, int fd);
/// recvmsg(2) of one byte with one descriptor, close-on-exec. Returns -ENOMSG if the message does not have exactly one,
/// and -ECONNRESET if the peer has closed the socket.
int cvfio_sys_receive_descriptor(int socket);
/// readlink(2). Returns the number of bytes stored, without a terminating zero.
int64_t cvfio_sys_readlink(const char *path, char *buffer, size_t count);
/// getrlimit(2) of RLIMIT_MEMLOCK, in bytes; UINT64_MAX if unlimited.
int cvfio_sys_memlock_limit(uint64_t *limit);

/// opendir(3), readdir(3), closedir(3). readdir stores a zero-terminated name and returns 1, or 0 at the end.
int cvfio_sys_opendir(const char *path, void *_Nullable *_Nonnull directory);
int cvfio_sys_readdir(void *directory, char *name, size_t count);
int cvfio_sys_closedir(void *directory);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
