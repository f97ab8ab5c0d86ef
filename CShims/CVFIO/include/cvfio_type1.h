// <linux/vfio.h>: the type1 IOMMU, a container's mappings. Sizes and addresses are in bytes.

#ifndef CVFIO_TYPE1_H
#define CVFIO_TYPE1_H

#include "cvfio_vfio.h"

/// CVFIO_IOMMU_GET_INFO. The capability chain follows, at cap_offset; argsz comes back as the size that holds all of it.
struct cvfio_iommu_type1_info {
    uint32_t argsz;
    uint32_t flags;
    uint64_t iova_pgsizes;  // a bit for each page size
    uint32_t cap_offset;
    uint32_t pad;  // named since 6.6, padding before
};

static const uint32_t CVFIO_IOMMU_INFO_PGSIZES = 1u << 0;  // iova_pgsizes is valid
static const uint32_t CVFIO_IOMMU_INFO_CAPS = 1u << 1;     // there is a capability chain

static const uint16_t CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
static const uint16_t CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
static const uint16_t CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/// A range of addresses, end included.
struct cvfio_iova_range {
    uint64_t start;
    uint64_t end;
};

/// CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: where mappings may be. Followed by nr_iovas of struct cvfio_iova_range.
struct cvfio_iommu_type1_info_cap_iova_range {
    struct cvfio_info_cap_header header;
    uint32_t nr_iovas;
    uint32_t reserved;
};

/// CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: dirty page logging can be had.
struct cvfio_iommu_type1_info_cap_migration {
    struct cvfio_info_cap_header header;
    uint32_t flags;
    uint64_t pgsize_bitmap;          // a bit for each page size
    uint64_t max_dirty_bitmap_size;  // of one query
};

/// CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: how many more mappings the container takes now.
struct cvfio_iommu_type1_info_dma_avail {
    struct cvfio_info_cap_header header;
    uint32_t avail;
};

/// CVFIO_IOMMU_MAP_DMA: process memory at vaddr gets the address iova.
struct cvfio_iommu_type1_dma_map {
    uint32_t argsz;
    uint32_t flags;
    uint64_t vaddr;
    uint64_t iova;
    uint64_t size;
};

static const uint32_t CVFIO_DMA_MAP_FLAG_READ = 1u << 0;   // the device may read the memory
static const uint32_t CVFIO_DMA_MAP_FLAG_WRITE = 1u << 1;  // the device may write it
static const uint32_t CVFIO_DMA_MAP_FLAG_VADDR = 1u << 2;  // only replaces a vaddr that was given up before

/// A bitmap that the caller owns and has zeroed: one bit a page, from the start of the range asked about.
struct cvfio_bitmap {
    uint64_t pgsize;
    uint64_t size;  // of the bitmap
    uint64_t *data;
};

/// CVFIO_IOMMU_UNMAP_DMA: size comes back as what was unmapped, which may be nothing.
/// Followed by one struct cvfio_bitmap if the dirty bitmap is asked for.
struct cvfio_iommu_type1_dma_unmap {
    uint32_t argsz;
    uint32_t flags;
    uint64_t iova;
    uint64_t size;
};

static const uint32_t CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1u << 0;
static const uint32_t CVFIO_DMA_UNMAP_FLAG_ALL = 1u << 1;    // iova and size are 0
static const uint32_t CVFIO_DMA_UNMAP_FLAG_VADDR = 1u << 2;  // DMA goes on, only the process address is given up

/// CVFIO_IOMMU_DIRTY_PAGES. Followed by one struct cvfio_iommu_type1_dirty_bitmap_get with FLAG_GET_BITMAP, else by nothing.
struct cvfio_iommu_type1_dirty_bitmap {
    uint32_t argsz;
    uint32_t flags;  // exactly one
};

static const uint32_t CVFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1u << 0;
static const uint32_t CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1u << 1;
static const uint32_t CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1u << 2;

struct cvfio_iommu_type1_dirty_bitmap_get {
    uint64_t iova;
    uint64_t size;
    struct cvfio_bitmap bitmap;
};

static const unsigned long CVFIO_IOMMU_GET_INFO = CVFIO_IO(12);
static const unsigned long CVFIO_IOMMU_MAP_DMA = CVFIO_IO(13);
static const unsigned long CVFIO_IOMMU_UNMAP_DMA = CVFIO_IO(14);
static const unsigned long CVFIO_IOMMU_ENABLE = CVFIO_IO(15);   // no argument; type1 has no use for it
static const unsigned long CVFIO_IOMMU_DISABLE = CVFIO_IO(16);  // no argument
static const unsigned long CVFIO_IOMMU_DIRTY_PAGES = CVFIO_IO(17);

#endif
