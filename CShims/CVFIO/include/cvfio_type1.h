// <linux/vfio.h>: the type1 IOMMU, which maps memory for a container. Sizes and addresses are in bytes.

#ifndef CVFIO_TYPE1_H
#define CVFIO_TYPE1_H

#include "cvfio_vfio.h"

/// CVFIO_IOMMU_GET_INFO. The capability chain follows, at cap_offset; argsz is set to the size needed for all of it.
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

/// A range of addresses, with an inclusive end.
struct cvfio_iova_range {
    uint64_t start;
    uint64_t end;
};

/// CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: the valid IOVA ranges. Followed by nr_iovas of struct cvfio_iova_range.
struct cvfio_iommu_type1_info_cap_iova_range {
    struct cvfio_info_cap_header header;
    uint32_t nr_iovas;
    uint32_t reserved;
};

/// CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: dirty page logging is supported.
struct cvfio_iommu_type1_info_cap_migration {
    struct cvfio_info_cap_header header;
    uint32_t flags;
    uint64_t pgsize_bitmap;          // a bit for each page size
    uint64_t max_dirty_bitmap_size;  // of one query
};

/// CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: the number of mappings that can still be made in the container.
struct cvfio_iommu_type1_info_dma_avail {
    struct cvfio_info_cap_header header;
    uint32_t avail;
};

/// CVFIO_IOMMU_MAP_DMA: maps process memory at vaddr to iova.
struct cvfio_iommu_type1_dma_map {
    uint32_t argsz;
    uint32_t flags;
    uint64_t vaddr;
    uint64_t iova;
    uint64_t size;
};

static const uint32_t CVFIO_DMA_MAP_FLAG_READ = 1u << 0;   // the device may read the memory
static const uint32_t CVFIO_DMA_MAP_FLAG_WRITE = 1u << 1;  // the device may write it
static const uint32_t CVFIO_DMA_MAP_FLAG_VADDR = 1u << 2;  // only sets an invalidated vaddr again

/// A bitmap, owned and zeroed by the caller: one bit per page, from the start of the queried range.
struct cvfio_bitmap {
    uint64_t pgsize;
    uint64_t size;  // of the bitmap
    uint64_t *data;
};

/// CVFIO_IOMMU_UNMAP_DMA: size is set to the number of bytes unmapped, which may be 0.
/// Followed by one struct cvfio_bitmap if the dirty bitmap is requested.
struct cvfio_iommu_type1_dma_unmap {
    uint32_t argsz;
    uint32_t flags;
    uint64_t iova;
    uint64_t size;
};

static const uint32_t CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1u << 0;
static const uint32_t CVFIO_DMA_UNMAP_FLAG_ALL = 1u << 1;    // iova and size must be 0
static const uint32_t CVFIO_DMA_UNMAP_FLAG_VADDR = 1u << 2;  // only invalidates the vaddr; DMA continues

/// CVFIO_IOMMU_DIRTY_PAGES. With FLAG_GET_BITMAP followed by one struct cvfio_iommu_type1_dirty_bitmap_get.
struct cvfio_iommu_type1_dirty_bitmap {
    uint32_t argsz;
    uint32_t flags;  // exactly one flag
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
static const unsigned long CVFIO_IOMMU_ENABLE = CVFIO_IO(15);   // no argument; not used by type1
static const unsigned long CVFIO_IOMMU_DISABLE = CVFIO_IO(16);  // no argument
static const unsigned long CVFIO_IOMMU_DIRTY_PAGES = CVFIO_IO(17);

#endif
