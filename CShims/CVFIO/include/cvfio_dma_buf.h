// <linux/dma-buf.h>: requests on a dma-buf's descriptor.

#ifndef CVFIO_DMA_BUF_H
#define CVFIO_DMA_BUF_H

#include <stdint.h>
#include <linux/ioctl.h>

/// CDMA_BUF_IOCTL_SYNC: starts or ends CPU access through mmap. START or END, with READ, WRITE or both.
struct cdma_buf_sync {
    uint64_t flags;
};

static const uint64_t CDMA_BUF_SYNC_READ = 1u << 0;
static const uint64_t CDMA_BUF_SYNC_WRITE = 2u << 0;
static const uint64_t CDMA_BUF_SYNC_RW = 3u << 0;
static const uint64_t CDMA_BUF_SYNC_START = 0u << 2;
static const uint64_t CDMA_BUF_SYNC_END = 1u << 2;
static const uint64_t CDMA_BUF_SYNC_VALID_FLAGS_MASK = 7u;

/// CDMA_BUF_IOCTL_EXPORT_SYNC_FILE: fd is set to a sync file of the fences that a reader (READ) or a writer (WRITE)
/// must wait for.
struct cdma_buf_export_sync_file {
    uint32_t flags;
    int32_t fd;
};

/// CDMA_BUF_IOCTL_IMPORT_SYNC_FILE: adds fd's fences to the buffer as a reader's (READ) or a writer's (WRITE).
struct cdma_buf_import_sync_file {
    uint32_t flags;
    int32_t fd;
};

static const uint32_t CDMA_BUF_NAME_LEN = 32;  // including the terminating zero

static const unsigned long CDMA_BUF_IOCTL_SYNC = _IOW('b', 0, struct cdma_buf_sync);
static const unsigned long CDMA_BUF_SET_NAME = _IOW('b', 1, const char *);  // pointer to a C string; so for the next two,
static const unsigned long CDMA_BUF_SET_NAME_A = _IOW('b', 1, uint32_t);    // the 32-bit number and
static const unsigned long CDMA_BUF_SET_NAME_B = _IOW('b', 1, uint64_t);    // the 64-bit one
static const unsigned long CDMA_BUF_IOCTL_EXPORT_SYNC_FILE = _IOWR('b', 2, struct cdma_buf_export_sync_file);
static const unsigned long CDMA_BUF_IOCTL_IMPORT_SYNC_FILE = _IOW('b', 3, struct cdma_buf_import_sync_file);

#endif
