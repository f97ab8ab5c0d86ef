// <linux/iommufd.h> (since 6.2): requests on /dev/iommu. Sizes and addresses are in bytes; `size` is the structure's
// size.
//
// Common errors: ENOTTY, the kernel lacks the request; E2BIG, a member unknown to the kernel is not 0; EOPNOTSUPP, a
// member has an unknown value; ENOENT, no such object or mapping.

#ifndef CVFIO_IOMMUFD_H
#define CVFIO_IOMMUFD_H

#include <stdint.h>
#include <linux/ioctl.h>

// Type ';' like VFIO, numbers from 0x80.
#define CIOMMUFD_IO(number) ((unsigned long)_IO(';', (number)))

// ---- Objects ----

/// CIOMMU_DESTROY: destroys an object. EBUSY while another object refers to it.
struct ciommu_destroy {
    uint32_t size;
    uint32_t id;
};

static const unsigned long CIOMMU_DESTROY = CIOMMUFD_IO(0x80);

// ---- IO address spaces ----

/// CIOMMU_IOAS_ALLOC.
struct ciommu_ioas_alloc {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t out_ioas_id;
};

static const unsigned long CIOMMU_IOAS_ALLOC = CIOMMUFD_IO(0x81);

/// A range of addresses, with an inclusive last address.
struct ciommu_iova_range {
    uint64_t start;
    uint64_t last;
};

/// CIOMMU_IOAS_ALLOW_IOVAS: ranges that must stay valid when devices are attached; replaces the previous list.
struct ciommu_ioas_allow_iovas {
    uint32_t size;
    uint32_t ioas_id;
    uint32_t num_iovas;
    uint32_t __reserved;
    uint64_t allowed_iovas;  // address of num_iovas of struct ciommu_iova_range
};

static const unsigned long CIOMMU_IOAS_ALLOW_IOVAS = CIOMMUFD_IO(0x82);

/// CIOMMU_IOAS_COPY: copies a mapping at src_iova of an IOAS to dst_iova of another, or of the same.
/// flags are CIOMMU_IOAS_MAP_...
struct ciommu_ioas_copy {
    uint32_t size;
    uint32_t flags;
    uint32_t dst_ioas_id;
    uint32_t src_ioas_id;
    uint64_t length;
    uint64_t dst_iova;
    uint64_t src_iova;
};

static const unsigned long CIOMMU_IOAS_COPY = CIOMMUFD_IO(0x83);

/// CIOMMU_IOAS_IOVA_RANGES: the valid IOVA ranges with the currently attached devices. num_iovas is the capacity, and
/// is set to the number of ranges; EMSGSIZE if that is larger.
struct ciommu_ioas_iova_ranges {
    uint32_t size;
    uint32_t ioas_id;
    uint32_t num_iovas;
    uint32_t __reserved;
    uint64_t allowed_iovas;       // address of struct ciommu_iova_range
    uint64_t out_iova_alignment;  // of both ends of a mapping
};

static const unsigned long CIOMMU_IOAS_IOVA_RANGES = CIOMMUFD_IO(0x84);

/// CIOMMU_IOAS_MAP: maps process memory at user_va. Without FIXED_IOVA, iova is set to the allocated address.
struct ciommu_ioas_map {
    uint32_t size;
    uint32_t flags;
    uint32_t ioas_id;
    uint32_t __reserved;
    uint64_t user_va;
    uint64_t length;
    uint64_t iova;
};

static const uint32_t CIOMMU_IOAS_MAP_FIXED_IOVA = 1u << 0;
static const uint32_t CIOMMU_IOAS_MAP_WRITEABLE = 1u << 1;  // by the device
static const uint32_t CIOMMU_IOAS_MAP_READABLE = 1u << 2;   // by the device

static const unsigned long CIOMMU_IOAS_MAP = CIOMMUFD_IO(0x85);

/// CIOMMU_IOAS_UNMAP: unmaps all mappings in the range, which must not split any; length is set to the bytes unmapped.
/// iova 0 with length UINT64_MAX unmaps everything.
struct ciommu_ioas_unmap {
    uint32_t size;
    uint32_t ioas_id;
    uint64_t iova;
    uint64_t length;
};

static const unsigned long CIOMMU_IOAS_UNMAP = CIOMMUFD_IO(0x86);

/// CIOMMU_IOAS_MAP_FILE (since 6.13): as CIOMMU_IOAS_MAP, for a memfd, or (newer kernels) a dma-buf of vfio-pci.
struct ciommu_ioas_map_file {
    uint32_t size;
    uint32_t flags;
    uint32_t ioas_id;
    int32_t fd;
    uint64_t start;  // offset in the file
    uint64_t length;
    uint64_t iova;
};

static const unsigned long CIOMMU_IOAS_MAP_FILE = CIOMMUFD_IO(0x8f);

/// CIOMMU_IOAS_CHANGE_PROCESS (since 6.14): accounts the locked memory to the calling process. Only if all mappings are
/// of files.
struct ciommu_ioas_change_process {
    uint32_t size;
    uint32_t __reserved;
};

static const unsigned long CIOMMU_IOAS_CHANGE_PROCESS = CIOMMUFD_IO(0x92);

/// CIOMMU_IOAS_NOIOMMU_GET_PA (later than 6.12): the physical address of iova, for devices without an IOMMU. length is
/// set to the contiguous length.
struct ciommu_ioas_noiommu_get_pa {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t ioas_id;
    uint32_t __reserved;
    uint64_t iova;
    uint64_t length;
    uint64_t out_phys;
};

static const unsigned long CIOMMU_IOAS_NOIOMMU_GET_PA = CIOMMUFD_IO(0x95);

/// CIOMMU_OPTION: gets or sets one option.
struct ciommu_option {
    uint32_t size;
    uint32_t option_id;
    uint16_t op;
    uint16_t __reserved;
    uint32_t object_id;
    uint64_t val64;
};

static const uint32_t CIOMMU_OPTION_RLIMIT_MODE = 0;  // lock accounting per user (0) or per process (1); object_id 0
static const uint32_t CIOMMU_OPTION_HUGE_PAGES = 1;   // 1: combine pages, 0: do not; object_id is an IOAS
static const uint16_t CIOMMU_OPTION_OP_SET = 0;
static const uint16_t CIOMMU_OPTION_OP_GET = 1;

static const unsigned long CIOMMU_OPTION = CIOMMUFD_IO(0x87);

/// CIOMMU_VFIO_IOAS: the IOAS used by the container requests when a group's container is an iommufd.
struct ciommu_vfio_ioas {
    uint32_t size;
    uint32_t ioas_id;
    uint16_t op;
    uint16_t __reserved;
};

static const uint16_t CIOMMU_VFIO_IOAS_GET = 0;
static const uint16_t CIOMMU_VFIO_IOAS_SET = 1;
static const uint16_t CIOMMU_VFIO_IOAS_CLEAR = 2;

static const unsigned long CIOMMU_VFIO_IOAS = CIOMMUFD_IO(0x88);

// ---- Hardware page tables ----

/// CIOMMU_HWPT_ALLOC (since 6.6): pt_id is an IOAS (kernel-managed table), or the parent HWPT or a vIOMMU
/// (user-managed, nested). data_type is the type of the data at data_uptr.
struct ciommu_hwpt_alloc {
    uint32_t size;
    uint32_t flags;
    uint32_t dev_id;
    uint32_t pt_id;
    uint32_t out_hwpt_id;
    uint32_t __reserved;
    uint32_t data_type;
    uint32_t data_len;
    uint64_t data_uptr;
    uint32_t fault_id;     // with FAULT_ID_VALID; since 6.11
    uint32_t __reserved2;  // since 6.11
};

static const uint32_t CIOMMU_HWPT_ALLOC_NEST_PARENT = 1u << 0;
static const uint32_t CIOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1u << 1;
static const uint32_t CIOMMU_HWPT_FAULT_ID_VALID = 1u << 2;
static const uint32_t CIOMMU_HWPT_ALLOC_PASID = 1u << 3;  // later than 6.12

static const uint32_t CIOMMU_HWPT_DATA_NONE = 0;
static const uint32_t CIOMMU_HWPT_DATA_VTD_S1 = 1;      // ciommu_hwpt_vtd_s1
static const uint32_t CIOMMU_HWPT_DATA_ARM_SMMUV3 = 2;  // ciommu_hwpt_arm_smmuv3
static const uint32_t CIOMMU_HWPT_DATA_AMD_GUEST = 3;   // ciommu_hwpt_amd_guest

static const unsigned long CIOMMU_HWPT_ALLOC = CIOMMUFD_IO(0x89);

/// Intel VT-d, first-stage table.
struct ciommu_hwpt_vtd_s1 {
    uint64_t flags;
    uint64_t pgtbl_addr;
    uint32_t addr_width;  // bits
    uint32_t __reserved;
};

static const uint64_t CIOMMU_VTD_S1_SRE = 1u << 0;   // supervisor requests
static const uint64_t CIOMMU_VTD_S1_EAFE = 1u << 1;  // extended access flag
static const uint64_t CIOMMU_VTD_S1_WPE = 1u << 2;   // write protection

/// Arm SMMUv3: the first two double words of a stream table entry, little-endian.
struct ciommu_hwpt_arm_smmuv3 {
    uint64_t ste[2];
};

/// AMD: a guest's device table entry.
struct ciommu_hwpt_amd_guest {
    uint64_t dte[4];
};

/// CIOMMU_HWPT_SET_DIRTY_TRACKING (since 6.7): enables or disables dirty tracking.
struct ciommu_hwpt_set_dirty_tracking {
    uint32_t size;
    uint32_t flags;
    uint32_t hwpt_id;
    uint32_t __reserved;
};

static const uint32_t CIOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

static const unsigned long CIOMMU_HWPT_SET_DIRTY_TRACKING = CIOMMUFD_IO(0x8b);

/// CIOMMU_HWPT_GET_DIRTY_BITMAP (since 6.7): reads the dirty bits of a range, and clears them unless NO_CLEAR.
struct ciommu_hwpt_get_dirty_bitmap {
    uint32_t size;
    uint32_t hwpt_id;
    uint32_t flags;
    uint32_t __reserved;
    uint64_t iova;
    uint64_t length;
    uint64_t page_size;  // bytes that one bit stands for
    uint64_t data;       // address of an array of uint64_t
};

static const uint32_t CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

static const unsigned long CIOMMU_HWPT_GET_DIRTY_BITMAP = CIOMMUFD_IO(0x8c);

/// CIOMMU_HWPT_INVALIDATE (since 6.8): hwpt_id is a nested HWPT or a vIOMMU; entry_num is set to the number handled.
struct ciommu_hwpt_invalidate {
    uint32_t size;
    uint32_t hwpt_id;
    uint64_t data_uptr;  // address of entry_num requests of entry_len bytes each
    uint32_t data_type;
    uint32_t entry_len;
    uint32_t entry_num;
    uint32_t __reserved;
};

static const uint32_t CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;        // ciommu_hwpt_vtd_s1_invalidate
static const uint32_t CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;  // ciommu_viommu_arm_smmuv3_invalidate

static const unsigned long CIOMMU_HWPT_INVALIDATE = CIOMMUFD_IO(0x8d);

/// Intel VT-d: npages of 4096 bytes from addr; addr 0 and npages UINT64_MAX for all.
struct ciommu_hwpt_vtd_s1_invalidate {
    uint64_t addr;
    uint64_t npages;
    uint32_t flags;
    uint32_t __reserved;
};

static const uint32_t CIOMMU_VTD_INV_FLAGS_LEAF = 1u << 0;  // only the last level

/// Arm SMMUv3: one command of its queue, little-endian.
struct ciommu_viommu_arm_smmuv3_invalidate {
    uint64_t cmd[2];
};

// ---- Hardware information ----

/// CIOMMU_GET_HW_INFO (since 6.6): about the IOMMU of a device. data_len is the capacity, and is set to the size of the
/// kernel's data; the type is that of the data at data_uptr.
struct ciommu_hw_info {
    uint32_t size;
    uint32_t flags;
    uint32_t dev_id;
    uint32_t data_len;
    uint64_t data_uptr;
    union {
        uint32_t in_data_type;  // with FLAG_INPUT_TYPE; later than 6.12
        uint32_t out_data_type;
    };
    uint8_t out_max_pasid_log2;  // bits of a PASID, 0 for none; part of __reserved before 6.15, and in early 6.12.y
    uint8_t __reserved[3];
    uint64_t out_capabilities;  // since 6.7
};

static const uint32_t CIOMMU_HW_INFO_FLAG_INPUT_TYPE = 1u << 0;  // later than 6.12

static const uint32_t CIOMMU_HW_INFO_TYPE_NONE = 0;
static const uint32_t CIOMMU_HW_INFO_TYPE_DEFAULT = 0;         // as input
static const uint32_t CIOMMU_HW_INFO_TYPE_INTEL_VTD = 1;       // ciommu_hw_info_vtd
static const uint32_t CIOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;      // ciommu_hw_info_arm_smmuv3
static const uint32_t CIOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;  // ciommu_hw_info_tegra241_cmdqv
static const uint32_t CIOMMU_HW_INFO_TYPE_AMD = 4;             // ciommu_hw_info_amd

static const uint64_t CIOMMU_HW_CAP_DIRTY_TRACKING = 1u << 0;
static const uint64_t CIOMMU_HW_CAP_PCI_PASID_EXEC = 1u << 1;
static const uint64_t CIOMMU_HW_CAP_PCI_PASID_PRIV = 1u << 2;
static const uint64_t CIOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1u << 3;

static const unsigned long CIOMMU_GET_HW_INFO = CIOMMUFD_IO(0x8a);

/// Intel VT-d: its capability registers.
struct ciommu_hw_info_vtd {
    uint32_t flags;
    uint32_t __reserved;
    uint64_t cap_reg;
    uint64_t ecap_reg;
};

static const uint32_t CIOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1u << 0;  // no read-only mappings in a nesting parent

/// Arm SMMUv3: its identification registers.
struct ciommu_hw_info_arm_smmuv3 {
    uint32_t flags;
    uint32_t __reserved;
    uint32_t idr[6];
    uint32_t iidr;
    uint32_t aidr;
};

static const uint32_t CIOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 1u << 0;  // issue TLBI and CFGI twice

/// NVIDIA Tegra241, extension of SMMUv3. Binary logarithms.
struct ciommu_hw_info_tegra241_cmdqv {
    uint32_t flags;
    uint8_t version;
    uint8_t log2vcmdqs;
    uint8_t log2vsids;
    uint8_t __reserved;
};

/// AMD: its extended feature registers.
struct ciommu_hw_info_amd {
    uint64_t efr;
    uint64_t efr2;
};

// ---- Page requests (I/O page faults) ----

/// CIOMMU_FAULT_QUEUE_ALLOC (since 6.11): read() on out_fault_fd returns struct ciommu_hwpt_pgfault, write() accepts
/// struct ciommu_hwpt_page_response.
struct ciommu_fault_alloc {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t out_fault_id;
    uint32_t out_fault_fd;
};

static const unsigned long CIOMMU_FAULT_QUEUE_ALLOC = CIOMMUFD_IO(0x8e);

struct ciommu_hwpt_pgfault {
    uint32_t flags;
    uint32_t dev_id;
    uint32_t pasid;
    uint32_t grpid;
    uint32_t perm;
    uint32_t __reserved;
    uint64_t addr;
    uint32_t length;  // a hint, 0 for none
    uint32_t cookie;  // of the last request of a group; copied to the response
};

static const uint32_t CIOMMU_PGFAULT_FLAGS_PASID_VALID = 1u << 0;
static const uint32_t CIOMMU_PGFAULT_FLAGS_LAST_PAGE = 1u << 1;  // last of its group

static const uint32_t CIOMMU_PGFAULT_PERM_READ = 1u << 0;
static const uint32_t CIOMMU_PGFAULT_PERM_WRITE = 1u << 1;
static const uint32_t CIOMMU_PGFAULT_PERM_EXEC = 1u << 2;
static const uint32_t CIOMMU_PGFAULT_PERM_PRIV = 1u << 3;

struct ciommu_hwpt_page_response {
    uint32_t cookie;
    uint32_t code;
};

static const uint32_t CIOMMUFD_PAGE_RESP_SUCCESS = 0;  // the device retries
static const uint32_t CIOMMUFD_PAGE_RESP_INVALID = 1;  // the access fails

// ---- Virtual IOMMUs ----

/// CIOMMU_VIOMMU_ALLOC (since 6.13): a slice of an IOMMU for a virtual machine. hwpt_id is a nesting parent.
struct ciommu_viommu_alloc {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t type;
    uint32_t dev_id;
    uint32_t hwpt_id;
    uint32_t out_viommu_id;
    uint32_t data_len;    // later than 6.13
    uint32_t __reserved;  // later than 6.13
    uint64_t data_uptr;   // later than 6.13
};

static const uint32_t CIOMMU_VIOMMU_TYPE_DEFAULT = 0;
static const uint32_t CIOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
static const uint32_t CIOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;  // ciommu_viommu_tegra241_cmdqv

static const unsigned long CIOMMU_VIOMMU_ALLOC = CIOMMUFD_IO(0x90);

/// Tegra241: the mmap offset and length of the interface's page 0, on the iommufd.
struct ciommu_viommu_tegra241_cmdqv {
    uint64_t out_vintf_mmap_offset;
    uint64_t out_vintf_mmap_length;
};

/// CIOMMU_VDEVICE_ALLOC (since 6.13): a device with its ID in the virtual machine.
struct ciommu_vdevice_alloc {
    uint32_t size;
    uint32_t viommu_id;
    uint32_t dev_id;
    uint32_t out_vdevice_id;
    uint64_t virt_id;
};

static const unsigned long CIOMMU_VDEVICE_ALLOC = CIOMMUFD_IO(0x91);

/// CIOMMU_VEVENTQ_ALLOC (since 6.15): read() on out_veventq_fd returns struct ciommufd_vevent_header with data.
struct ciommu_veventq_alloc {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t viommu_id;
    uint32_t type;
    uint32_t veventq_depth;  // events
    uint32_t out_veventq_id;
    uint32_t out_veventq_fd;
    uint32_t __reserved;
};

static const uint32_t CIOMMU_VEVENTQ_TYPE_DEFAULT = 0;
static const uint32_t CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;      // ciommu_vevent_arm_smmuv3
static const uint32_t CIOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;  // ciommu_vevent_tegra241_cmdqv

static const unsigned long CIOMMU_VEVENTQ_ALLOC = CIOMMUFD_IO(0x93);

/// Followed by the event, of the queue's type; without one if events were lost at the end.
struct ciommufd_vevent_header {
    uint32_t flags;
    uint32_t sequence;  // 0 to INT_MAX, then 0 again; a gap means lost events
};

static const uint32_t CIOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1u << 0;

/// Arm SMMUv3: an event record, little-endian.
struct ciommu_vevent_arm_smmuv3 {
    uint64_t evt[4];
};

/// Tegra241: the error map of the logical queues, little-endian.
struct ciommu_vevent_tegra241_cmdqv {
    uint64_t lvcmdq_err_map[2];
};

/// CIOMMU_HW_QUEUE_ALLOC (since 6.17): a queue in guest memory that the hardware reads.
struct ciommu_hw_queue_alloc {
    uint32_t size;
    uint32_t flags;  // 0
    uint32_t viommu_id;
    uint32_t type;
    uint32_t index;
    uint32_t out_hw_queue_id;
    uint64_t nesting_parent_iova;
    uint64_t length;
};

static const uint32_t CIOMMU_HW_QUEUE_TYPE_DEFAULT = 0;
static const uint32_t CIOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

static const unsigned long CIOMMU_HW_QUEUE_ALLOC = CIOMMUFD_IO(0x94);

#endif
