// <linux/vfio.h>, first part: requests on containers and groups, and declarations shared by the other parts.
// Further parts: cvfio_type1.h (mappings of a container), cvfio_device.h, cvfio_feature.h.
//
// Omitted from all parts: the sPAPR TCE IOMMU and EEH (server POWER only), the migration region before 5.18 and the
// NVLink2 region capabilities, which current kernels do not return any more, and the layout of vfio-ccw's regions
// (<linux/vfio_ccw.h>). Tests/Headers/check lists the omitted declarations of vfio.h.

#ifndef CVFIO_VFIO_H
#define CVFIO_VFIO_H

#include <stdint.h>
#include <linux/ioctl.h>

// A request of VFIO or iommufd: type ';', without direction and size, because the structures have a size member.
// VFIO's numbers start at 100, iommufd's at 0x80.
#define CVFIO_IO(number) ((unsigned long)_IO(';', 100 + (number)))

static const int CVFIO_API_VERSION = 0;

/// Header of a capability in the chain that follows an info structure. Offsets are from the start of that structure;
/// a `next` of 0 ends the chain.
struct cvfio_info_cap_header {
    uint16_t id;
    uint16_t version;
    uint32_t next;
};

// ---- Container: /dev/vfio/vfio, or /dev/iommu in compatibility mode ----

static const unsigned long CVFIO_GET_API_VERSION = CVFIO_IO(0);  // no argument; returns the version
static const unsigned long CVFIO_CHECK_EXTENSION = CVFIO_IO(1);  // by value: an extension; returns > 0 if supported
static const unsigned long CVFIO_SET_IOMMU = CVFIO_IO(2);        // by value: an IOMMU type; after adding a group

// IOMMU types and other extensions.
static const unsigned long CVFIO_TYPE1_IOMMU = 1;
static const unsigned long CVFIO_TYPE1v2_IOMMU = 3;         // an unmap never splits a mapping
static const unsigned long CVFIO_DMA_CC_IOMMU = 4;          // DMA is always cache coherent
static const unsigned long CVFIO_TYPE1_NESTING_IOMMU = 6;   // removed from newer kernels, the number is reserved
static const unsigned long CVFIO_NOIOMMU_IOMMU = 8;         // no translation, no isolation
static const unsigned long CVFIO_UNMAP_ALL = 9;             // CVFIO_DMA_UNMAP_FLAG_ALL works
static const unsigned long CVFIO_UPDATE_VADDR = 10;         // CVFIO_DMA_MAP_FLAG_VADDR and its unmap counterpart work

// ---- Group: /dev/vfio/NUMBER ----

/// CVFIO_GROUP_GET_STATUS.
struct cvfio_group_status {
    uint32_t argsz;
    uint32_t flags;
};

static const uint32_t CVFIO_GROUP_FLAGS_VIABLE = 1u << 0;         // no device of the group has a host driver that does DMA
static const uint32_t CVFIO_GROUP_FLAGS_CONTAINER_SET = 1u << 1;

static const unsigned long CVFIO_GROUP_GET_STATUS = CVFIO_IO(3);
static const unsigned long CVFIO_GROUP_SET_CONTAINER = CVFIO_IO(4);    // pointer to an int: the container's descriptor
static const unsigned long CVFIO_GROUP_UNSET_CONTAINER = CVFIO_IO(5);  // no argument
static const unsigned long CVFIO_GROUP_GET_DEVICE_FD = CVFIO_IO(6);    // pointer to a C string, "0000:00:04.0"; returns a descriptor

#endif
