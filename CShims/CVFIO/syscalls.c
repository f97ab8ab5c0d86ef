#define _GNU_SOURCE
#include "cvfio_syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// A result of -1 means that errno is set; other results are returned as they are.
static int64_t checked(int64_t result) { return result == -1 ? -errno : result; }

int cvfio_sys_open(const char *path, int flags) { return (int)checked(open(path, flags | O_CLOEXEC)); }

int cvfio_sys_close(int fd) {
  int result = (int)checked(close(fd));
  return result == -EINTR ? 0 : result;
}

int cvfio_sys_duplicate(int fd) { return (int)checked(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

int64_t cvfio_sys_ioctl(int fd, unsigned long request, void *argument) {
  return checked(ioctl(fd, request, argument));
}

int64_t cvfio_sys_ioctl_value(int fd, unsigned long request, unsigned long value) {
  return checked(ioctl(fd, request, value));
}

int64_t cvfio_sys_read(int fd, void *buffer, size_t count) { return checked(read(fd, buffer, count)); }

int64_t cvfio_sys_write(int fd, const void *buffer, size_t count) { return checked(write(fd, buffer, count)); }

int64_t cvfio_sys_pread(int fd, void *buffer, size_t count, int64_t offset) {
  return checked(pread(fd, buffer, count, offset));
}

int64_t cvfio_sys_pwrite(int fd, const void *buffer, size_t count, int64_t offset) {
  return checked(pwrite(fd, buffer, count, offset));
}

int64_t cvfio_sys_seek(int fd, int64_t offset, int whence) { return checked(lseek(fd, offset, whence)); }

int cvfio_sys_mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset, void **result) {
  void *mapped = mmap(address, length, protection, flags, fd, offset);
  if (mapped == MAP_FAILED)
    return -errno;
  *result = mapped;
  return 0;
}

int cvfio_sys_munmap(void *address, size_t length) { return (int)checked(munmap(address, length)); }

int cvfio_sys_eventfd(void) { return (int)checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int cvfio_sys_epoll(void) { return (int)checked(epoll_create1(EPOLL_CLOEXEC)); }

int cvfio_sys_epoll_add(int set, int fd, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
  return (int)checked(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

int cvfio_sys_epoll_remove(int set, int fd) { return (int)checked(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL)); }

int cvfio_sys_epoll_ready(int set, uint64_t *tags, int count) {
  struct epoll_event events[16];
  int most = (int)(sizeof events / sizeof events[0]);
  int found = (int)checked(epoll_wait(set, events, count < most ? count : most, 0));
  for (int i = 0; i < found; i++)
    tags[i] = events[i].data.u64;
  return found;
}

int cvfio_sys_poll_readable(int fd, int timeout) {
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  int result = (int)checked(poll(&entry, 1, timeout));
  if (result == 1 && (entry.revents & POLLNVAL))
    return -EBADF;
  return result;
}

// Space for one descriptor, aligned for a control message.
union control_buffer {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

int cvfio_sys_send_descriptor(int socket, int fd) {
  char byte = 0;
  struct iovec vector = {.iov_base = &byte, .iov_len = 1};
  union control_buffer control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  int64_t sent = checked(sendmsg(socket, &message, MSG_NOSIGNAL));
  return sent < 0 ? (int)sent : 0;
}

int cvfio_sys_receive_descriptor(int socket) {
  char byte;
  struct iovec vector = {.iov_base = &byte, .iov_len = 1};
  union control_buffer control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  int64_t received = checked(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
  if (received < 0)
    return (int)received;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
    return received == 0 ? -ECONNRESET : -ENOMSG;
  // Because of alignment the buffer has space for a second descriptor, and the kernel opens as many as fit. A peer that
  // sends any other number than one violates the protocol, and its descriptors must be closed.
  size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  int fd = -1;
  for (size_t index = 0; index < count; index++) {
    memcpy(&fd, CMSG_DATA(header) + index * sizeof fd, sizeof fd);
    if (count != 1 || (message.msg_flags & MSG_CTRUNC))
      close(fd);
  }
  return count == 1 && !(message.msg_flags & MSG_CTRUNC) ? fd : -ENOMSG;
}

int64_t cvfio_sys_readlink(const char *path, char *buffer, size_t count) {
  return checked(readlink(path, buffer, count));
}

int cvfio_sys_memlock_limit(uint64_t *limit) {
  struct rlimit value;
  if (getrlimit(RLIMIT_MEMLOCK, &value) != 0)
    return -errno;
  *limit = value.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)value.rlim_cur;
  return 0;
}

int cvfio_sys_opendir(const char *path, void **directory) {
  DIR *opened = opendir(path);
  if (opened == NULL)
    return -errno;
  *directory = opened;
  return 0;
}

int cvfio_sys_readdir(void *directory, char *name, size_t count) {
  errno = 0;
  struct dirent *entry = readdir(directory);
  if (entry == NULL)
    return -errno;
  size_t length = strlen(entry->d_name);
  if (length >= count)
    return -ENAMETOOLONG;
  memcpy(name, entry->d_name, length + 1);
  return 1;
}

int cvfio_sys_closedir(void *directory) { return (int)checked(closedir(directory)); }
