// <linux/vfio.h>: requests on a device's descriptor: information, regions, interrupts, reset, binding to an iommufd.

#ifndef CVFIO_DEVICE_H
#define CVFIO_DEVICE_H

#include "cvfio_vfio.h"

// ---- Information ----

/// CVFIO_DEVICE_GET_INFO. The capability chain follows, at cap_offset; argsz is set to the size needed for all of it.
struct cvfio_device_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t num_regions;  // highest index + 1
    uint32_t num_irqs;     // highest index + 1
    uint32_t cap_offset;
    uint32_t pad;  // since 6.6; before, the structure had 20 bytes, without this member
};

static const uint32_t CVFIO_DEVICE_FLAGS_RESET = 1u << 0;  // CVFIO_DEVICE_RESET works
static const uint32_t CVFIO_DEVICE_FLAGS_PCI = 1u << 1;
static const uint32_t CVFIO_DEVICE_FLAGS_PLATFORM = 1u << 2;
static const uint32_t CVFIO_DEVICE_FLAGS_AMBA = 1u << 3;
static const uint32_t CVFIO_DEVICE_FLAGS_CCW = 1u << 4;
static const uint32_t CVFIO_DEVICE_FLAGS_AP = 1u << 5;
static const uint32_t CVFIO_DEVICE_FLAGS_FSL_MC = 1u << 6;
static const uint32_t CVFIO_DEVICE_FLAGS_CAPS = 1u << 7;  // there is a capability chain
static const uint32_t CVFIO_DEVICE_FLAGS_CDX = 1u << 8;

// Values of a mediated device type's sysfs attribute device_api.
#define CVFIO_DEVICE_API_PCI_STRING "vfio-pci"
#define CVFIO_DEVICE_API_PLATFORM_STRING "vfio-platform"
#define CVFIO_DEVICE_API_AMBA_STRING "vfio-amba"
#define CVFIO_DEVICE_API_CCW_STRING "vfio-ccw"
#define CVFIO_DEVICE_API_AP_STRING "vfio-ap"

static const uint16_t CVFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
static const uint16_t CVFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
static const uint16_t CVFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
static const uint16_t CVFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;
static const uint16_t CVFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;  // since 6.6

/// CVFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: the widths of PCIe AtomicOps that the root port completes.
struct cvfio_device_info_cap_pci_atomic_comp {
    struct cvfio_info_cap_header header;
    uint32_t flags;
    uint32_t reserved;
};

static const uint32_t CVFIO_PCI_ATOMIC_COMP32 = 1u << 0;
static const uint32_t CVFIO_PCI_ATOMIC_COMP64 = 1u << 1;
static const uint32_t CVFIO_PCI_ATOMIC_COMP128 = 1u << 2;

// The next four are in <linux/vfio_zdev.h>, for s390 only.

/// CVFIO_DEVICE_INFO_CAP_ZPCI_BASE; the header's version determines the members.
struct cvfio_device_info_cap_zpci_base {
    struct cvfio_info_cap_header header;
    uint64_t start_dma;
    uint64_t end_dma;
    uint16_t pchid;
    uint16_t vfn;
    uint16_t fmb_length;
    uint8_t pft;
    uint8_t gid;
    uint32_t fh;               // from version 2
    uint32_t ccdf_err_length;  // from version 3: the size that CVFIO_DEVICE_FEATURE_ZPCI_ERROR fills
};

/// CVFIO_DEVICE_INFO_CAP_ZPCI_GROUP.
struct cvfio_device_info_cap_zpci_group {
    struct cvfio_info_cap_header header;
    uint64_t dasm;
    uint64_t msi_addr;
    uint64_t flags;
    uint16_t mui;
    uint16_t noi;
    uint16_t maxstbl;
    uint8_t version;
    uint8_t reserved;
    uint16_t imaxstbl;  // from version 2
};

static const uint64_t CVFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH = 1;

/// CVFIO_DEVICE_INFO_CAP_ZPCI_UTIL. Followed by `size` bytes of EBCDIC.
struct cvfio_device_info_cap_zpci_util {
    struct cvfio_info_cap_header header;
    uint32_t size;
};

/// CVFIO_DEVICE_INFO_CAP_ZPCI_PFIP: the function's path. Followed by `size` bytes.
struct cvfio_device_info_cap_zpci_pfip {
    struct cvfio_info_cap_header header;
    uint32_t size;
};

// ---- Regions ----

/// CVFIO_DEVICE_GET_REGION_INFO. The capability chain follows, at cap_offset. A region that the device lacks has size
/// 0.
struct cvfio_region_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t cap_offset;
    uint64_t size;    // bytes
    uint64_t offset;  // within the device's descriptor: for pread, pwrite and mmap
};

static const uint32_t CVFIO_REGION_INFO_FLAG_READ = 1u << 0;
static const uint32_t CVFIO_REGION_INFO_FLAG_WRITE = 1u << 1;
static const uint32_t CVFIO_REGION_INFO_FLAG_MMAP = 1u << 2;
static const uint32_t CVFIO_REGION_INFO_FLAG_CAPS = 1u << 3;

static const uint16_t CVFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
static const uint16_t CVFIO_REGION_INFO_CAP_TYPE = 2;
static const uint16_t CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;  // no data; mmap may cover the MSI-X table
static const uint16_t CVFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;  // not returned any more
static const uint16_t CVFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;  // not returned any more

/// A mappable part of a region; offset is within the region.
struct cvfio_region_sparse_mmap_area {
    uint64_t offset;
    uint64_t size;
};

/// CVFIO_REGION_INFO_CAP_SPARSE_MMAP: only these parts can be mapped.
/// Followed by nr_areas of struct cvfio_region_sparse_mmap_area.
struct cvfio_region_info_cap_sparse_mmap {
    struct cvfio_info_cap_header header;
    uint32_t nr_areas;
    uint32_t reserved;
};

/// CVFIO_REGION_INFO_CAP_TYPE: the type of a region beyond the fixed indices.
struct cvfio_region_info_cap_type {
    struct cvfio_info_cap_header header;
    uint32_t type;
    uint32_t subtype;
};

static const uint32_t CVFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1u << 31;  // with the PCI vendor in the low 16 bits
static const uint32_t CVFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
static const uint32_t CVFIO_REGION_TYPE_GFX = 1;
static const uint32_t CVFIO_REGION_TYPE_CCW = 2;
static const uint32_t CVFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;

static const uint32_t CVFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;  // vendor 8086
static const uint32_t CVFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
static const uint32_t CVFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;
static const uint32_t CVFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;  // vendor 10de; not returned any more
static const uint32_t CVFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;    // vendor 1014; not returned any more
static const uint32_t CVFIO_REGION_SUBTYPE_GFX_EDID = 1;            // type GFX
static const uint32_t CVFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;       // type CCW
static const uint32_t CVFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
static const uint32_t CVFIO_REGION_SUBTYPE_CCW_CRW = 3;
static const uint32_t CVFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1;

/// Header of a region of type GFX, subtype EDID: the monitor of a virtual GPU. A maximum of 0 means no limit.
struct cvfio_region_gfx_edid {
    uint32_t edid_offset;  // of the EDID data, within the region; read only
    uint32_t edid_max_size;
    uint32_t edid_size;
    uint32_t max_xres;
    uint32_t max_yres;
    uint32_t link_state;  // down while the EDID data is changed
};

static const uint32_t CVFIO_DEVICE_GFX_LINK_STATE_UP = 1;
static const uint32_t CVFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

// Indices of vfio-pci's regions. From NUM_REGIONS on they are described by CVFIO_REGION_INFO_CAP_TYPE.
static const uint32_t CVFIO_PCI_BAR0_REGION_INDEX = 0;
static const uint32_t CVFIO_PCI_BAR1_REGION_INDEX = 1;
static const uint32_t CVFIO_PCI_BAR2_REGION_INDEX = 2;
static const uint32_t CVFIO_PCI_BAR3_REGION_INDEX = 3;
static const uint32_t CVFIO_PCI_BAR4_REGION_INDEX = 4;
static const uint32_t CVFIO_PCI_BAR5_REGION_INDEX = 5;
static const uint32_t CVFIO_PCI_ROM_REGION_INDEX = 6;
static const uint32_t CVFIO_PCI_CONFIG_REGION_INDEX = 7;
static const uint32_t CVFIO_PCI_VGA_REGION_INDEX = 8;  // the legacy VGA ranges, each at its own address within the region
static const uint32_t CVFIO_PCI_NUM_REGIONS = 9;

static const uint32_t CVFIO_CCW_CONFIG_REGION_INDEX = 0;
static const uint32_t CVFIO_CCW_NUM_REGIONS = 1;

// ---- Interrupts ----

/// CVFIO_DEVICE_GET_IRQ_INFO. An interrupt type that the device lacks has count 0.
struct cvfio_irq_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t count;  // interrupts under this index
};

static const uint32_t CVFIO_IRQ_INFO_EVENTFD = 1u << 0;
static const uint32_t CVFIO_IRQ_INFO_MASKABLE = 1u << 1;
static const uint32_t CVFIO_IRQ_INFO_AUTOMASKED = 1u << 2;  // masked when it fires, until unmasked: level triggered
static const uint32_t CVFIO_IRQ_INFO_NORESIZE = 1u << 3;    // disable all before enabling another set

/// CVFIO_DEVICE_SET_IRQS: one DATA and one ACTION, for `count` interrupts from `start`.
/// With DATA_BOOL followed by `count` of uint8_t, with DATA_EVENTFD by `count` of int32_t, -1 for none.
/// DATA_NONE with ACTION_TRIGGER and count 0 disables the whole index.
struct cvfio_irq_set {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t start;
    uint32_t count;
};

static const uint32_t CVFIO_IRQ_SET_DATA_NONE = 1u << 0;
static const uint32_t CVFIO_IRQ_SET_DATA_BOOL = 1u << 1;
static const uint32_t CVFIO_IRQ_SET_DATA_EVENTFD = 1u << 2;
static const uint32_t CVFIO_IRQ_SET_ACTION_MASK = 1u << 3;
static const uint32_t CVFIO_IRQ_SET_ACTION_UNMASK = 1u << 4;
static const uint32_t CVFIO_IRQ_SET_ACTION_TRIGGER = 1u << 5;
static const uint32_t CVFIO_IRQ_SET_DATA_TYPE_MASK = 7u << 0;
static const uint32_t CVFIO_IRQ_SET_ACTION_TYPE_MASK = 7u << 3;

static const uint32_t CVFIO_PCI_INTX_IRQ_INDEX = 0;
static const uint32_t CVFIO_PCI_MSI_IRQ_INDEX = 1;
static const uint32_t CVFIO_PCI_MSIX_IRQ_INDEX = 2;
static const uint32_t CVFIO_PCI_ERR_IRQ_INDEX = 3;  // the host detected an uncorrectable error
static const uint32_t CVFIO_PCI_REQ_IRQ_INDEX = 4;  // the host requests the device's release
static const uint32_t CVFIO_PCI_NUM_IRQS = 5;

static const uint32_t CVFIO_CCW_IO_IRQ_INDEX = 0;
static const uint32_t CVFIO_CCW_CRW_IRQ_INDEX = 1;
static const uint32_t CVFIO_CCW_REQ_IRQ_INDEX = 2;
static const uint32_t CVFIO_CCW_NUM_IRQS = 3;

static const uint32_t CVFIO_AP_REQ_IRQ_INDEX = 0;      // later than 6.1
static const uint32_t CVFIO_AP_CFG_CHG_IRQ_INDEX = 1;  // later than 6.12

// ---- Reset ----

/// A device affected by a hot reset. devid if CVFIO_PCI_HOT_RESET_FLAG_DEV_ID is set, otherwise group_id.
struct cvfio_pci_dependent_device {
    union {
        uint32_t group_id;
        uint32_t devid;  // since 6.6
    };
    uint16_t segment;
    uint8_t bus;
    uint8_t devfn;
};

static const uint32_t CVFIO_PCI_DEVID_OWNED = 0;               // owned through its group, but not bound to this iommufd
static const uint32_t CVFIO_PCI_DEVID_NOT_OWNED = UINT32_MAX;  // -1 in the kernel's header

/// CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO. Followed by `count` of struct cvfio_pci_dependent_device; ENOSPC if the buffer
/// is too small, with the number of devices in count.
struct cvfio_pci_hot_reset_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t count;
};

static const uint32_t CVFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1u << 0;        // since 6.6
static const uint32_t CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1u << 1;  // since 6.6: all are owned by the caller

/// CVFIO_DEVICE_PCI_HOT_RESET. Followed by `count` of int32_t: the descriptors of the affected groups; none for a
/// device that was opened by its own node.
struct cvfio_pci_hot_reset {
    uint32_t argsz;
    uint32_t flags;
    uint32_t count;
};

// ---- Virtual GPU planes ----

/// CVFIO_DEVICE_QUERY_GFX_PLANE.
struct cvfio_device_gfx_plane_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t drm_plane_type;  // input; the other members are output
    uint32_t drm_format;
    uint64_t drm_format_mod;
    uint32_t width;
    uint32_t height;
    uint32_t stride;
    uint32_t size;  // bytes
    uint32_t x_pos;
    uint32_t y_pos;
    uint32_t x_hot;  // UINT32_MAX if none
    uint32_t y_hot;
    union {
        uint32_t region_index;
        uint32_t dmabuf_id;
    };
    uint32_t reserved;  // named since 6.6, padding before
};

static const uint32_t CVFIO_GFX_PLANE_TYPE_PROBE = 1u << 0;
static const uint32_t CVFIO_GFX_PLANE_TYPE_DMABUF = 1u << 1;
static const uint32_t CVFIO_GFX_PLANE_TYPE_REGION = 1u << 2;

// ---- Eventfd to register write ----

/// CVFIO_DEVICE_IOEVENTFD: the kernel writes `data` at `offset` of the device's descriptor each time fd is signalled;
/// an fd of -1 removes the ioeventfd. flags has exactly one width.
struct cvfio_device_ioeventfd {
    uint32_t argsz;
    uint32_t flags;
    uint64_t offset;
    uint64_t data;
    int32_t fd;
    uint32_t reserved;  // named since 6.6, padding before
};

static const uint32_t CVFIO_DEVICE_IOEVENTFD_8 = 1u << 0;
static const uint32_t CVFIO_DEVICE_IOEVENTFD_16 = 1u << 1;
static const uint32_t CVFIO_DEVICE_IOEVENTFD_32 = 1u << 2;
static const uint32_t CVFIO_DEVICE_IOEVENTFD_64 = 1u << 3;
static const uint32_t CVFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

// ---- A device's own node, /dev/vfio/devices/vfioN, and its iommufd (since 6.6) ----

/// CVFIO_DEVICE_BIND_IOMMUFD: must be the first request on the node.
struct cvfio_device_bind_iommufd {
    uint32_t argsz;
    uint32_t flags;
    int32_t iommufd;
    uint32_t out_devid;       // the device's object in the iommufd
    uint64_t token_uuid_ptr;  // later than 6.12, where the structure has 16 bytes; address of 16 bytes
};

static const uint32_t CVFIO_DEVICE_BIND_FLAG_TOKEN = 1u << 0;  // token_uuid_ptr is valid

/// CVFIO_DEVICE_ATTACH_IOMMUFD_PT: pt_id is an IOAS or HWPT, and is set to the HWPT that the device is attached to.
struct cvfio_device_attach_iommufd_pt {
    uint32_t argsz;
    uint32_t flags;
    uint32_t pt_id;
    uint32_t pasid;  // later than 6.12, where the structure has 12 bytes
};

static const uint32_t CVFIO_DEVICE_ATTACH_PASID = 1u << 0;  // pasid is valid

/// CVFIO_DEVICE_DETACH_IOMMUFD_PT.
struct cvfio_device_detach_iommufd_pt {
    uint32_t argsz;
    uint32_t flags;
    uint32_t pasid;  // later than 6.12, where the structure has 8 bytes
};

static const uint32_t CVFIO_DEVICE_DETACH_PASID = 1u << 0;  // pasid is valid

// ---- Requests ----

static const unsigned long CVFIO_DEVICE_GET_INFO = CVFIO_IO(7);
static const unsigned long CVFIO_DEVICE_GET_REGION_INFO = CVFIO_IO(8);
static const unsigned long CVFIO_DEVICE_GET_IRQ_INFO = CVFIO_IO(9);
static const unsigned long CVFIO_DEVICE_SET_IRQS = CVFIO_IO(10);
static const unsigned long CVFIO_DEVICE_RESET = CVFIO_IO(11);  // no argument
static const unsigned long CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO = CVFIO_IO(12);
static const unsigned long CVFIO_DEVICE_PCI_HOT_RESET = CVFIO_IO(13);
static const unsigned long CVFIO_DEVICE_QUERY_GFX_PLANE = CVFIO_IO(14);
static const unsigned long CVFIO_DEVICE_GET_GFX_DMABUF = CVFIO_IO(15);  // pointer to a uint32_t: dmabuf_id; returns a descriptor
static const unsigned long CVFIO_DEVICE_IOEVENTFD = CVFIO_IO(16);
static const unsigned long CVFIO_DEVICE_BIND_IOMMUFD = CVFIO_IO(18);
static const unsigned long CVFIO_DEVICE_ATTACH_IOMMUFD_PT = CVFIO_IO(19);
static const unsigned long CVFIO_DEVICE_DETACH_IOMMUFD_PT = CVFIO_IO(20);

#endif
