// Compares the declarations of CVFIO with the kernel's headers at compile time. Generates no code.
//
// There are two kinds of assertions: sizes as literals, which hold on every host, and comparisons with <linux/...>, for
// the declarations of the host's headers. Tests/Headers compiles this file with old and new headers, and checks that
// every common declaration is compared.
//
// gcc in C mode does not accept `static const` objects in constant expressions, so it compares layouts only. clang,
// which SwiftPM uses, and C++ compilers also compare values; this file is valid C++.

#include "CVFIO.h"

#include <stddef.h>
#include <linux/version.h>

#ifdef __cplusplus
#define ABI_ASSERT(condition, message) static_assert(condition, message)
#else
#define ABI_ASSERT(condition, message) _Static_assert(condition, message)
#endif

// ---- Absolute sizes ----

// The kernel aligns most 64-bit members to 8 bytes with an attribute, CVFIO relies on natural alignment. They do not
// differ on the hosts that Swift supports.
struct abi_alignment {
    uint8_t byte;
    uint64_t word;
};
ABI_ASSERT(offsetof(struct abi_alignment, word) == 8, "64-bit members have to be aligned to 8 bytes");

// vfio_bitmap and the structures that contain it have a pointer, so their size depends on the pointer size.
#if UINTPTR_MAX == UINT64_MAX
#define SIZE(name, bytes) ABI_ASSERT(sizeof(struct name) == (bytes), "size of " #name)
#else
#define SIZE(name, bytes) ABI_ASSERT(sizeof(struct name) <= (bytes), "size of " #name)
#endif

// cvfio_vfio.h
SIZE(cvfio_info_cap_header, 8);
SIZE(cvfio_group_status, 8);

// cvfio_type1.h
SIZE(cvfio_iommu_type1_info, 24);
SIZE(cvfio_iova_range, 16);
SIZE(cvfio_iommu_type1_info_cap_iova_range, 16);
SIZE(cvfio_iommu_type1_info_cap_migration, 32);
SIZE(cvfio_iommu_type1_info_dma_avail, 12);
SIZE(cvfio_iommu_type1_dma_map, 32);
SIZE(cvfio_bitmap, 24);
SIZE(cvfio_iommu_type1_dma_unmap, 24);
SIZE(cvfio_iommu_type1_dirty_bitmap, 8);
SIZE(cvfio_iommu_type1_dirty_bitmap_get, 40);

// cvfio_device.h
SIZE(cvfio_device_info, 24);
SIZE(cvfio_device_info_cap_pci_atomic_comp, 16);
SIZE(cvfio_device_info_cap_zpci_base, 40);
SIZE(cvfio_device_info_cap_zpci_group, 48);
SIZE(cvfio_device_info_cap_zpci_util, 12);
SIZE(cvfio_device_info_cap_zpci_pfip, 12);
SIZE(cvfio_region_info, 32);
SIZE(cvfio_region_sparse_mmap_area, 16);
SIZE(cvfio_region_info_cap_sparse_mmap, 16);
SIZE(cvfio_region_info_cap_type, 16);
SIZE(cvfio_region_gfx_edid, 24);
SIZE(cvfio_irq_info, 16);
SIZE(cvfio_irq_set, 20);
SIZE(cvfio_pci_dependent_device, 8);
SIZE(cvfio_pci_hot_reset_info, 12);
SIZE(cvfio_pci_hot_reset, 12);
SIZE(cvfio_device_gfx_plane_info, 64);
SIZE(cvfio_device_ioeventfd, 32);
SIZE(cvfio_device_bind_iommufd, 24);
SIZE(cvfio_device_attach_iommufd_pt, 16);
SIZE(cvfio_device_detach_iommufd_pt, 12);

// cvfio_feature.h
SIZE(cvfio_device_feature, 8);
SIZE(cvfio_device_feature_migration, 8);
SIZE(cvfio_device_feature_mig_state, 8);
SIZE(cvfio_device_feature_mig_data_size, 8);
SIZE(cvfio_precopy_info, 24);
SIZE(cvfio_device_feature_dma_logging_control, 24);
SIZE(cvfio_device_feature_dma_logging_range, 16);
SIZE(cvfio_device_feature_dma_logging_report, 32);
SIZE(cvfio_device_low_power_entry_with_wakeup, 8);
SIZE(cvfio_device_feature_bus_master, 4);
SIZE(cvfio_region_dma_range, 16);
SIZE(cvfio_device_feature_dma_buf, 16);
SIZE(cvfio_device_feature_zpci_err, 8);

// cvfio_dma_buf.h
SIZE(cdma_buf_sync, 8);
SIZE(cdma_buf_export_sync_file, 8);
SIZE(cdma_buf_import_sync_file, 8);

// cvfio_iommufd.h
SIZE(ciommu_destroy, 8);
SIZE(ciommu_ioas_alloc, 12);
SIZE(ciommu_iova_range, 16);
SIZE(ciommu_ioas_allow_iovas, 24);
SIZE(ciommu_ioas_copy, 40);
SIZE(ciommu_ioas_iova_ranges, 32);
SIZE(ciommu_ioas_map, 40);
SIZE(ciommu_ioas_unmap, 24);
SIZE(ciommu_ioas_map_file, 40);
SIZE(ciommu_ioas_change_process, 8);
SIZE(ciommu_ioas_noiommu_get_pa, 40);
SIZE(ciommu_option, 24);
SIZE(ciommu_vfio_ioas, 12);
SIZE(ciommu_hwpt_alloc, 48);
SIZE(ciommu_hwpt_vtd_s1, 24);
SIZE(ciommu_hwpt_arm_smmuv3, 16);
SIZE(ciommu_hwpt_amd_guest, 32);
SIZE(ciommu_hwpt_set_dirty_tracking, 16);
SIZE(ciommu_hwpt_get_dirty_bitmap, 48);
SIZE(ciommu_hwpt_invalidate, 32);
SIZE(ciommu_hwpt_vtd_s1_invalidate, 24);
SIZE(ciommu_viommu_arm_smmuv3_invalidate, 16);
SIZE(ciommu_hw_info, 40);
SIZE(ciommu_hw_info_vtd, 24);
SIZE(ciommu_hw_info_arm_smmuv3, 40);
SIZE(ciommu_hw_info_tegra241_cmdqv, 8);
SIZE(ciommu_hw_info_amd, 16);
SIZE(ciommu_fault_alloc, 16);
SIZE(ciommu_hwpt_pgfault, 40);
SIZE(ciommu_hwpt_page_response, 8);
SIZE(ciommu_viommu_alloc, 40);
SIZE(ciommu_viommu_tegra241_cmdqv, 16);
SIZE(ciommu_vdevice_alloc, 24);
SIZE(ciommu_veventq_alloc, 32);
SIZE(ciommufd_vevent_header, 8);
SIZE(ciommu_vevent_arm_smmuv3, 32);
SIZE(ciommu_vevent_tegra241_cmdqv, 16);
SIZE(ciommu_hw_queue_alloc, 40);

// cvfio_kvm.h
SIZE(ckvm_create_device, 12);
SIZE(ckvm_device_attr, 24);
SIZE(ckvm_irqfd, 32);
SIZE(ckvm_ioeventfd, 64);
SIZE(ckvm_userspace_memory_region, 32);

// ---- Comparison macros ----
//
// NAME is the kernel's name; CVFIO's is the same with the prefix `c` or `C`.

// The oldest headers compared are those of 6.1. The presence of a macro can be tested; members, structures and
// enumerators depend on the version. These are the versions that Tests/Headers uses. Headers of versions in between are
// compared like the next older version, to avoid false errors.
#define HEADERS_6_1 (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0))
#define HEADERS_6_12 (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))
#define HEADERS_7_3 (LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0))

// A stable release of 6.12 has iommufd's PASID information.
#define HEADERS_6_12_STABLE (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 95) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0))
#define HEADERS_HAVE_PASID_INFO (HEADERS_7_3 || HEADERS_6_12_STABLE)

// Newer versions append members to structures, and increase counts and masks. With headers newer than this file that is
// accepted, except for Tests/Headers, which defines CVFIO_ABI_STRICT to detect additions.
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 4, 0) || defined(CVFIO_ABI_STRICT)
#define AS_KNOWN(theirs, ours) ((theirs) == (ours))
#else
#define AS_KNOWN(theirs, ours) ((theirs) >= (ours))
#endif

#define OF(name, member) (((struct name *)0)->member)
#define IS_UNSIGNED(expression) ((__typeof__(expression))-1 > (__typeof__(expression))0)

// The size of a structure.
#define SAME_SIZE(name) ABI_ASSERT(AS_KNOWN(sizeof(struct name), sizeof(struct c##name)), "size of " #name)

// The offset and size of a member; SAME_MEMBER also compares the signedness of integers.
#define SAME_OFFSET(name, member)                                                       \
    ABI_ASSERT(offsetof(struct c##name, member) == offsetof(struct name, member) &&     \
                   sizeof(OF(c##name, member)) == sizeof(OF(name, member)),             \
               "member " #name "." #member)
#define SAME_MEMBER(name, member)                                                       \
    ABI_ASSERT(offsetof(struct c##name, member) == offsetof(struct name, member) &&     \
                   sizeof(OF(c##name, member)) == sizeof(OF(name, member)) &&           \
                   IS_UNSIGNED(OF(c##name, member)) == IS_UNSIGNED(OF(name, member)),   \
               "member " #name "." #member)

// A flexible array member, which CVFIO omits: it begins at the end of CVFIO's structure; `element` has its elements'
// size.
#define SAME_TAIL(name, member, element)                                                \
    ABI_ASSERT(offsetof(struct name, member) == sizeof(struct c##name) &&               \
                   sizeof(OF(name, member)[0]) == sizeof(element),                      \
               "tail " #name "." #member)

// A constant. GROWING_VALUE: a count or mask. SAME_BITS: a negative int in the kernel, unsigned in CVFIO.
#if defined(__clang__) || defined(__cplusplus)
#define SAME_VALUE(name) ABI_ASSERT((uint64_t)(name) == (uint64_t)(C##name), "value of " #name)
#define GROWING_VALUE(name) ABI_ASSERT(AS_KNOWN((uint64_t)(name), (uint64_t)(C##name)), "value of " #name)
#define SAME_BITS(name) ABI_ASSERT((uint32_t)(name) == (C##name) && sizeof(C##name) == 4, "value of " #name)
#else
#define SAME_VALUE(name) ABI_ASSERT(sizeof(C##name) > 0, "existence of C" #name)
#define GROWING_VALUE(name) ABI_ASSERT(sizeof(C##name) > 0, "existence of C" #name)
#define SAME_BITS(name) ABI_ASSERT(sizeof(C##name) > 0, "existence of C" #name)
#endif

// A string.
#define SAME_STRING(name)                                                               \
    ABI_ASSERT(sizeof(C##name) == sizeof(name) && __builtin_strcmp(C##name, name) == 0, "string " #name)

#if HEADERS_6_1
#include <linux/dma-buf.h>
#include <linux/vfio.h>
#include <linux/vfio_zdev.h>
#endif

#if HEADERS_6_12 && __has_include(<linux/iommufd.h>)
#define HEADERS_HAVE_IOMMUFD 1
#include <linux/iommufd.h>
#endif

// Not on architectures without KVM.
#if HEADERS_6_1 && __has_include(<linux/kvm.h>) && __has_include(<asm/kvm.h>)
#define HEADERS_HAVE_KVM 1
#include <linux/kvm.h>
#endif

// ---- <linux/vfio.h> ----

#if HEADERS_6_1

SAME_VALUE(VFIO_API_VERSION);

SAME_SIZE(vfio_info_cap_header);
SAME_MEMBER(vfio_info_cap_header, id);
SAME_MEMBER(vfio_info_cap_header, version);
SAME_MEMBER(vfio_info_cap_header, next);
SAME_VALUE(VFIO_GET_API_VERSION);
SAME_VALUE(VFIO_CHECK_EXTENSION);
SAME_VALUE(VFIO_SET_IOMMU);
SAME_VALUE(VFIO_TYPE1_IOMMU);
SAME_VALUE(VFIO_TYPE1v2_IOMMU);
SAME_VALUE(VFIO_DMA_CC_IOMMU);
SAME_VALUE(VFIO_NOIOMMU_IOMMU);
SAME_VALUE(VFIO_UNMAP_ALL);
SAME_VALUE(VFIO_UPDATE_VADDR);
#ifdef VFIO_TYPE1_NESTING_IOMMU
SAME_VALUE(VFIO_TYPE1_NESTING_IOMMU);
#endif

SAME_SIZE(vfio_group_status);
SAME_MEMBER(vfio_group_status, argsz);
SAME_MEMBER(vfio_group_status, flags);
SAME_VALUE(VFIO_GROUP_FLAGS_VIABLE);
SAME_VALUE(VFIO_GROUP_FLAGS_CONTAINER_SET);
SAME_VALUE(VFIO_GROUP_GET_STATUS);
SAME_VALUE(VFIO_GROUP_SET_CONTAINER);
SAME_VALUE(VFIO_GROUP_UNSET_CONTAINER);
SAME_VALUE(VFIO_GROUP_GET_DEVICE_FD);

SAME_SIZE(vfio_iommu_type1_info);
SAME_MEMBER(vfio_iommu_type1_info, argsz);
SAME_MEMBER(vfio_iommu_type1_info, flags);
SAME_MEMBER(vfio_iommu_type1_info, iova_pgsizes);
SAME_MEMBER(vfio_iommu_type1_info, cap_offset);
SAME_VALUE(VFIO_IOMMU_INFO_PGSIZES);
SAME_VALUE(VFIO_IOMMU_INFO_CAPS);
SAME_VALUE(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
SAME_VALUE(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
SAME_VALUE(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
#if HEADERS_6_12
SAME_MEMBER(vfio_iommu_type1_info, pad);
#endif

SAME_SIZE(vfio_iova_range);
SAME_MEMBER(vfio_iova_range, start);
SAME_MEMBER(vfio_iova_range, end);

SAME_SIZE(vfio_iommu_type1_info_cap_iova_range);
SAME_OFFSET(vfio_iommu_type1_info_cap_iova_range, header);
SAME_MEMBER(vfio_iommu_type1_info_cap_iova_range, nr_iovas);
SAME_MEMBER(vfio_iommu_type1_info_cap_iova_range, reserved);
SAME_TAIL(vfio_iommu_type1_info_cap_iova_range, iova_ranges, struct cvfio_iova_range);

SAME_SIZE(vfio_iommu_type1_info_cap_migration);
SAME_OFFSET(vfio_iommu_type1_info_cap_migration, header);
SAME_MEMBER(vfio_iommu_type1_info_cap_migration, flags);
SAME_MEMBER(vfio_iommu_type1_info_cap_migration, pgsize_bitmap);
SAME_MEMBER(vfio_iommu_type1_info_cap_migration, max_dirty_bitmap_size);

SAME_SIZE(vfio_iommu_type1_info_dma_avail);
SAME_OFFSET(vfio_iommu_type1_info_dma_avail, header);
SAME_MEMBER(vfio_iommu_type1_info_dma_avail, avail);

SAME_SIZE(vfio_iommu_type1_dma_map);
SAME_MEMBER(vfio_iommu_type1_dma_map, argsz);
SAME_MEMBER(vfio_iommu_type1_dma_map, flags);
SAME_MEMBER(vfio_iommu_type1_dma_map, vaddr);
SAME_MEMBER(vfio_iommu_type1_dma_map, iova);
SAME_MEMBER(vfio_iommu_type1_dma_map, size);
SAME_VALUE(VFIO_DMA_MAP_FLAG_READ);
SAME_VALUE(VFIO_DMA_MAP_FLAG_WRITE);
SAME_VALUE(VFIO_DMA_MAP_FLAG_VADDR);

SAME_SIZE(vfio_bitmap);
SAME_MEMBER(vfio_bitmap, pgsize);
SAME_MEMBER(vfio_bitmap, size);
SAME_OFFSET(vfio_bitmap, data);

SAME_SIZE(vfio_iommu_type1_dma_unmap);
SAME_MEMBER(vfio_iommu_type1_dma_unmap, argsz);
SAME_MEMBER(vfio_iommu_type1_dma_unmap, flags);
SAME_MEMBER(vfio_iommu_type1_dma_unmap, iova);
SAME_MEMBER(vfio_iommu_type1_dma_unmap, size);
SAME_TAIL(vfio_iommu_type1_dma_unmap, data, uint8_t);
SAME_VALUE(VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
SAME_VALUE(VFIO_DMA_UNMAP_FLAG_ALL);
SAME_VALUE(VFIO_DMA_UNMAP_FLAG_VADDR);

SAME_SIZE(vfio_iommu_type1_dirty_bitmap);
SAME_MEMBER(vfio_iommu_type1_dirty_bitmap, argsz);
SAME_MEMBER(vfio_iommu_type1_dirty_bitmap, flags);
SAME_TAIL(vfio_iommu_type1_dirty_bitmap, data, uint8_t);
SAME_VALUE(VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
SAME_VALUE(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
SAME_VALUE(VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);

SAME_SIZE(vfio_iommu_type1_dirty_bitmap_get);
SAME_MEMBER(vfio_iommu_type1_dirty_bitmap_get, iova);
SAME_MEMBER(vfio_iommu_type1_dirty_bitmap_get, size);
SAME_OFFSET(vfio_iommu_type1_dirty_bitmap_get, bitmap);
SAME_VALUE(VFIO_IOMMU_GET_INFO);
SAME_VALUE(VFIO_IOMMU_MAP_DMA);
SAME_VALUE(VFIO_IOMMU_UNMAP_DMA);
SAME_VALUE(VFIO_IOMMU_ENABLE);
SAME_VALUE(VFIO_IOMMU_DISABLE);
SAME_VALUE(VFIO_IOMMU_DIRTY_PAGES);

SAME_MEMBER(vfio_device_info, argsz);
SAME_MEMBER(vfio_device_info, flags);
SAME_MEMBER(vfio_device_info, num_regions);
SAME_MEMBER(vfio_device_info, num_irqs);
SAME_MEMBER(vfio_device_info, cap_offset);
SAME_VALUE(VFIO_DEVICE_FLAGS_RESET);
SAME_VALUE(VFIO_DEVICE_FLAGS_PCI);
SAME_VALUE(VFIO_DEVICE_FLAGS_PLATFORM);
SAME_VALUE(VFIO_DEVICE_FLAGS_AMBA);
SAME_VALUE(VFIO_DEVICE_FLAGS_CCW);
SAME_VALUE(VFIO_DEVICE_FLAGS_AP);
SAME_VALUE(VFIO_DEVICE_FLAGS_FSL_MC);
SAME_VALUE(VFIO_DEVICE_FLAGS_CAPS);
SAME_STRING(VFIO_DEVICE_API_PCI_STRING);
SAME_STRING(VFIO_DEVICE_API_PLATFORM_STRING);
SAME_STRING(VFIO_DEVICE_API_AMBA_STRING);
SAME_STRING(VFIO_DEVICE_API_CCW_STRING);
SAME_STRING(VFIO_DEVICE_API_AP_STRING);
SAME_VALUE(VFIO_DEVICE_INFO_CAP_ZPCI_BASE);
SAME_VALUE(VFIO_DEVICE_INFO_CAP_ZPCI_GROUP);
SAME_VALUE(VFIO_DEVICE_INFO_CAP_ZPCI_UTIL);
SAME_VALUE(VFIO_DEVICE_INFO_CAP_ZPCI_PFIP);
#ifdef VFIO_DEVICE_FLAGS_CDX
SAME_VALUE(VFIO_DEVICE_FLAGS_CDX);
#endif
#ifdef VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP
SAME_VALUE(VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP);
#endif
#if HEADERS_6_12
SAME_SIZE(vfio_device_info);
SAME_MEMBER(vfio_device_info, pad);
#endif

#ifdef VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP
SAME_SIZE(vfio_device_info_cap_pci_atomic_comp);
SAME_OFFSET(vfio_device_info_cap_pci_atomic_comp, header);
SAME_MEMBER(vfio_device_info_cap_pci_atomic_comp, flags);
SAME_MEMBER(vfio_device_info_cap_pci_atomic_comp, reserved);
SAME_VALUE(VFIO_PCI_ATOMIC_COMP32);
SAME_VALUE(VFIO_PCI_ATOMIC_COMP64);
SAME_VALUE(VFIO_PCI_ATOMIC_COMP128);
#endif

SAME_OFFSET(vfio_device_info_cap_zpci_base, header);
SAME_MEMBER(vfio_device_info_cap_zpci_base, start_dma);
SAME_MEMBER(vfio_device_info_cap_zpci_base, end_dma);
SAME_MEMBER(vfio_device_info_cap_zpci_base, pchid);
SAME_MEMBER(vfio_device_info_cap_zpci_base, vfn);
SAME_MEMBER(vfio_device_info_cap_zpci_base, fmb_length);
SAME_MEMBER(vfio_device_info_cap_zpci_base, pft);
SAME_MEMBER(vfio_device_info_cap_zpci_base, gid);
SAME_MEMBER(vfio_device_info_cap_zpci_base, fh);
#if HEADERS_7_3
SAME_SIZE(vfio_device_info_cap_zpci_base);
SAME_MEMBER(vfio_device_info_cap_zpci_base, ccdf_err_length);
#endif

SAME_SIZE(vfio_device_info_cap_zpci_group);
SAME_OFFSET(vfio_device_info_cap_zpci_group, header);
SAME_MEMBER(vfio_device_info_cap_zpci_group, dasm);
SAME_MEMBER(vfio_device_info_cap_zpci_group, msi_addr);
SAME_MEMBER(vfio_device_info_cap_zpci_group, flags);
SAME_MEMBER(vfio_device_info_cap_zpci_group, mui);
SAME_MEMBER(vfio_device_info_cap_zpci_group, noi);
SAME_MEMBER(vfio_device_info_cap_zpci_group, maxstbl);
SAME_MEMBER(vfio_device_info_cap_zpci_group, version);
SAME_MEMBER(vfio_device_info_cap_zpci_group, reserved);
SAME_MEMBER(vfio_device_info_cap_zpci_group, imaxstbl);
SAME_VALUE(VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH);

SAME_SIZE(vfio_device_info_cap_zpci_util);
SAME_OFFSET(vfio_device_info_cap_zpci_util, header);
SAME_MEMBER(vfio_device_info_cap_zpci_util, size);
SAME_TAIL(vfio_device_info_cap_zpci_util, util_str, uint8_t);

SAME_SIZE(vfio_device_info_cap_zpci_pfip);
SAME_OFFSET(vfio_device_info_cap_zpci_pfip, header);
SAME_MEMBER(vfio_device_info_cap_zpci_pfip, size);
SAME_TAIL(vfio_device_info_cap_zpci_pfip, pfip, uint8_t);

SAME_SIZE(vfio_region_info);
SAME_MEMBER(vfio_region_info, argsz);
SAME_MEMBER(vfio_region_info, flags);
SAME_MEMBER(vfio_region_info, index);
SAME_MEMBER(vfio_region_info, cap_offset);
SAME_MEMBER(vfio_region_info, size);
SAME_MEMBER(vfio_region_info, offset);
SAME_VALUE(VFIO_REGION_INFO_FLAG_READ);
SAME_VALUE(VFIO_REGION_INFO_FLAG_WRITE);
SAME_VALUE(VFIO_REGION_INFO_FLAG_MMAP);
SAME_VALUE(VFIO_REGION_INFO_FLAG_CAPS);
SAME_VALUE(VFIO_REGION_INFO_CAP_SPARSE_MMAP);
SAME_VALUE(VFIO_REGION_INFO_CAP_TYPE);
SAME_VALUE(VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
#ifdef VFIO_REGION_INFO_CAP_NVLINK2_SSATGT
SAME_VALUE(VFIO_REGION_INFO_CAP_NVLINK2_SSATGT);
#endif
#ifdef VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD
SAME_VALUE(VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD);
#endif

SAME_SIZE(vfio_region_sparse_mmap_area);
SAME_MEMBER(vfio_region_sparse_mmap_area, offset);
SAME_MEMBER(vfio_region_sparse_mmap_area, size);

SAME_SIZE(vfio_region_info_cap_sparse_mmap);
SAME_OFFSET(vfio_region_info_cap_sparse_mmap, header);
SAME_MEMBER(vfio_region_info_cap_sparse_mmap, nr_areas);
SAME_MEMBER(vfio_region_info_cap_sparse_mmap, reserved);
SAME_TAIL(vfio_region_info_cap_sparse_mmap, areas, struct cvfio_region_sparse_mmap_area);

SAME_SIZE(vfio_region_info_cap_type);
SAME_OFFSET(vfio_region_info_cap_type, header);
SAME_MEMBER(vfio_region_info_cap_type, type);
SAME_MEMBER(vfio_region_info_cap_type, subtype);
SAME_BITS(VFIO_REGION_TYPE_PCI_VENDOR_TYPE);
SAME_VALUE(VFIO_REGION_TYPE_PCI_VENDOR_MASK);
SAME_VALUE(VFIO_REGION_TYPE_GFX);
SAME_VALUE(VFIO_REGION_TYPE_CCW);
SAME_VALUE(VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION);
SAME_VALUE(VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG);
SAME_VALUE(VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG);
SAME_VALUE(VFIO_REGION_SUBTYPE_GFX_EDID);
SAME_VALUE(VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD);
SAME_VALUE(VFIO_REGION_SUBTYPE_CCW_SCHIB);
SAME_VALUE(VFIO_REGION_SUBTYPE_CCW_CRW);
#ifdef VFIO_REGION_TYPE_MIGRATION_DEPRECATED
SAME_VALUE(VFIO_REGION_TYPE_MIGRATION_DEPRECATED);
#endif
#ifdef VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM
SAME_VALUE(VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM);
#endif
#ifdef VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD
SAME_VALUE(VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD);
#endif
#ifdef VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED
SAME_VALUE(VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED);
#endif

SAME_SIZE(vfio_region_gfx_edid);
SAME_MEMBER(vfio_region_gfx_edid, edid_offset);
SAME_MEMBER(vfio_region_gfx_edid, edid_max_size);
SAME_MEMBER(vfio_region_gfx_edid, edid_size);
SAME_MEMBER(vfio_region_gfx_edid, max_xres);
SAME_MEMBER(vfio_region_gfx_edid, max_yres);
SAME_MEMBER(vfio_region_gfx_edid, link_state);
SAME_VALUE(VFIO_DEVICE_GFX_LINK_STATE_UP);
SAME_VALUE(VFIO_DEVICE_GFX_LINK_STATE_DOWN);
SAME_VALUE(VFIO_PCI_BAR0_REGION_INDEX);
SAME_VALUE(VFIO_PCI_BAR1_REGION_INDEX);
SAME_VALUE(VFIO_PCI_BAR2_REGION_INDEX);
SAME_VALUE(VFIO_PCI_BAR3_REGION_INDEX);
SAME_VALUE(VFIO_PCI_BAR4_REGION_INDEX);
SAME_VALUE(VFIO_PCI_BAR5_REGION_INDEX);
SAME_VALUE(VFIO_PCI_ROM_REGION_INDEX);
SAME_VALUE(VFIO_PCI_CONFIG_REGION_INDEX);
SAME_VALUE(VFIO_PCI_VGA_REGION_INDEX);
SAME_VALUE(VFIO_PCI_NUM_REGIONS);
SAME_VALUE(VFIO_CCW_CONFIG_REGION_INDEX);
GROWING_VALUE(VFIO_CCW_NUM_REGIONS);

SAME_SIZE(vfio_irq_info);
SAME_MEMBER(vfio_irq_info, argsz);
SAME_MEMBER(vfio_irq_info, flags);
SAME_MEMBER(vfio_irq_info, index);
SAME_MEMBER(vfio_irq_info, count);
SAME_VALUE(VFIO_IRQ_INFO_EVENTFD);
SAME_VALUE(VFIO_IRQ_INFO_MASKABLE);
SAME_VALUE(VFIO_IRQ_INFO_AUTOMASKED);
SAME_VALUE(VFIO_IRQ_INFO_NORESIZE);

SAME_SIZE(vfio_irq_set);
SAME_MEMBER(vfio_irq_set, argsz);
SAME_MEMBER(vfio_irq_set, flags);
SAME_MEMBER(vfio_irq_set, index);
SAME_MEMBER(vfio_irq_set, start);
SAME_MEMBER(vfio_irq_set, count);
SAME_TAIL(vfio_irq_set, data, uint8_t);
SAME_VALUE(VFIO_IRQ_SET_DATA_NONE);
SAME_VALUE(VFIO_IRQ_SET_DATA_BOOL);
SAME_VALUE(VFIO_IRQ_SET_DATA_EVENTFD);
SAME_VALUE(VFIO_IRQ_SET_ACTION_MASK);
SAME_VALUE(VFIO_IRQ_SET_ACTION_UNMASK);
SAME_VALUE(VFIO_IRQ_SET_ACTION_TRIGGER);
GROWING_VALUE(VFIO_IRQ_SET_DATA_TYPE_MASK);
GROWING_VALUE(VFIO_IRQ_SET_ACTION_TYPE_MASK);
SAME_VALUE(VFIO_PCI_INTX_IRQ_INDEX);
SAME_VALUE(VFIO_PCI_MSI_IRQ_INDEX);
SAME_VALUE(VFIO_PCI_MSIX_IRQ_INDEX);
SAME_VALUE(VFIO_PCI_ERR_IRQ_INDEX);
SAME_VALUE(VFIO_PCI_REQ_IRQ_INDEX);
GROWING_VALUE(VFIO_PCI_NUM_IRQS);
SAME_VALUE(VFIO_CCW_IO_IRQ_INDEX);
SAME_VALUE(VFIO_CCW_CRW_IRQ_INDEX);
SAME_VALUE(VFIO_CCW_REQ_IRQ_INDEX);
GROWING_VALUE(VFIO_CCW_NUM_IRQS);
#if HEADERS_6_12
SAME_VALUE(VFIO_AP_REQ_IRQ_INDEX);
#endif
#if HEADERS_7_3
SAME_VALUE(VFIO_AP_CFG_CHG_IRQ_INDEX);
#endif

SAME_SIZE(vfio_pci_dependent_device);
SAME_MEMBER(vfio_pci_dependent_device, group_id);
SAME_MEMBER(vfio_pci_dependent_device, segment);
SAME_MEMBER(vfio_pci_dependent_device, bus);
SAME_MEMBER(vfio_pci_dependent_device, devfn);
#ifdef VFIO_PCI_HOT_RESET_FLAG_DEV_ID
SAME_MEMBER(vfio_pci_dependent_device, devid);
SAME_VALUE(VFIO_PCI_DEVID_OWNED);
SAME_BITS(VFIO_PCI_DEVID_NOT_OWNED);
#endif

SAME_SIZE(vfio_pci_hot_reset_info);
SAME_MEMBER(vfio_pci_hot_reset_info, argsz);
SAME_MEMBER(vfio_pci_hot_reset_info, flags);
SAME_MEMBER(vfio_pci_hot_reset_info, count);
SAME_TAIL(vfio_pci_hot_reset_info, devices, struct cvfio_pci_dependent_device);
#ifdef VFIO_PCI_HOT_RESET_FLAG_DEV_ID
SAME_VALUE(VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
SAME_VALUE(VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
#endif

SAME_SIZE(vfio_pci_hot_reset);
SAME_MEMBER(vfio_pci_hot_reset, argsz);
SAME_MEMBER(vfio_pci_hot_reset, flags);
SAME_MEMBER(vfio_pci_hot_reset, count);
SAME_TAIL(vfio_pci_hot_reset, group_fds, int32_t);

SAME_SIZE(vfio_device_gfx_plane_info);
SAME_MEMBER(vfio_device_gfx_plane_info, argsz);
SAME_MEMBER(vfio_device_gfx_plane_info, flags);
SAME_MEMBER(vfio_device_gfx_plane_info, drm_plane_type);
SAME_MEMBER(vfio_device_gfx_plane_info, drm_format);
SAME_MEMBER(vfio_device_gfx_plane_info, drm_format_mod);
SAME_MEMBER(vfio_device_gfx_plane_info, width);
SAME_MEMBER(vfio_device_gfx_plane_info, height);
SAME_MEMBER(vfio_device_gfx_plane_info, stride);
SAME_MEMBER(vfio_device_gfx_plane_info, size);
SAME_MEMBER(vfio_device_gfx_plane_info, x_pos);
SAME_MEMBER(vfio_device_gfx_plane_info, y_pos);
SAME_MEMBER(vfio_device_gfx_plane_info, x_hot);
SAME_MEMBER(vfio_device_gfx_plane_info, y_hot);
SAME_MEMBER(vfio_device_gfx_plane_info, region_index);
SAME_MEMBER(vfio_device_gfx_plane_info, dmabuf_id);
SAME_VALUE(VFIO_GFX_PLANE_TYPE_PROBE);
SAME_VALUE(VFIO_GFX_PLANE_TYPE_DMABUF);
SAME_VALUE(VFIO_GFX_PLANE_TYPE_REGION);
#if HEADERS_6_12
SAME_MEMBER(vfio_device_gfx_plane_info, reserved);
#endif

SAME_SIZE(vfio_device_ioeventfd);
SAME_MEMBER(vfio_device_ioeventfd, argsz);
SAME_MEMBER(vfio_device_ioeventfd, flags);
SAME_MEMBER(vfio_device_ioeventfd, offset);
SAME_MEMBER(vfio_device_ioeventfd, data);
SAME_MEMBER(vfio_device_ioeventfd, fd);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD_8);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD_16);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD_32);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD_64);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD_SIZE_MASK);
#if HEADERS_6_12
SAME_MEMBER(vfio_device_ioeventfd, reserved);
#endif

#ifdef VFIO_DEVICE_BIND_IOMMUFD
SAME_MEMBER(vfio_device_bind_iommufd, argsz);
SAME_MEMBER(vfio_device_bind_iommufd, flags);
SAME_MEMBER(vfio_device_bind_iommufd, iommufd);
SAME_MEMBER(vfio_device_bind_iommufd, out_devid);
#endif
#ifdef VFIO_DEVICE_BIND_FLAG_TOKEN
SAME_SIZE(vfio_device_bind_iommufd);
SAME_MEMBER(vfio_device_bind_iommufd, token_uuid_ptr);
SAME_VALUE(VFIO_DEVICE_BIND_FLAG_TOKEN);
#endif

#ifdef VFIO_DEVICE_ATTACH_IOMMUFD_PT
SAME_MEMBER(vfio_device_attach_iommufd_pt, argsz);
SAME_MEMBER(vfio_device_attach_iommufd_pt, flags);
SAME_MEMBER(vfio_device_attach_iommufd_pt, pt_id);
#endif
#ifdef VFIO_DEVICE_ATTACH_PASID
SAME_SIZE(vfio_device_attach_iommufd_pt);
SAME_MEMBER(vfio_device_attach_iommufd_pt, pasid);
SAME_VALUE(VFIO_DEVICE_ATTACH_PASID);
#endif

SAME_VALUE(VFIO_DEVICE_GET_INFO);
SAME_VALUE(VFIO_DEVICE_GET_REGION_INFO);
SAME_VALUE(VFIO_DEVICE_GET_IRQ_INFO);
SAME_VALUE(VFIO_DEVICE_SET_IRQS);
SAME_VALUE(VFIO_DEVICE_RESET);
SAME_VALUE(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO);
SAME_VALUE(VFIO_DEVICE_PCI_HOT_RESET);
SAME_VALUE(VFIO_DEVICE_QUERY_GFX_PLANE);
SAME_VALUE(VFIO_DEVICE_GET_GFX_DMABUF);
SAME_VALUE(VFIO_DEVICE_IOEVENTFD);
#ifdef VFIO_DEVICE_DETACH_IOMMUFD_PT
SAME_MEMBER(vfio_device_detach_iommufd_pt, argsz);
SAME_MEMBER(vfio_device_detach_iommufd_pt, flags);
SAME_VALUE(VFIO_DEVICE_DETACH_IOMMUFD_PT);
#endif
#ifdef VFIO_DEVICE_BIND_IOMMUFD
SAME_VALUE(VFIO_DEVICE_BIND_IOMMUFD);
#endif
#ifdef VFIO_DEVICE_ATTACH_IOMMUFD_PT
SAME_VALUE(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
#endif
#ifdef VFIO_DEVICE_DETACH_PASID
SAME_SIZE(vfio_device_detach_iommufd_pt);
SAME_MEMBER(vfio_device_detach_iommufd_pt, pasid);
SAME_VALUE(VFIO_DEVICE_DETACH_PASID);
#endif

SAME_SIZE(vfio_device_feature);
SAME_MEMBER(vfio_device_feature, argsz);
SAME_MEMBER(vfio_device_feature, flags);
SAME_TAIL(vfio_device_feature, data, uint8_t);
SAME_VALUE(VFIO_DEVICE_FEATURE_MASK);
SAME_VALUE(VFIO_DEVICE_FEATURE_GET);
SAME_VALUE(VFIO_DEVICE_FEATURE_SET);
SAME_VALUE(VFIO_DEVICE_FEATURE_PROBE);
SAME_VALUE(VFIO_DEVICE_FEATURE);
SAME_VALUE(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN);
SAME_VALUE(VFIO_DEVICE_FEATURE_MIGRATION);
SAME_VALUE(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
SAME_VALUE(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
SAME_VALUE(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP);
SAME_VALUE(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
SAME_VALUE(VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
SAME_VALUE(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
SAME_VALUE(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT);
#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
SAME_VALUE(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE);
#endif
#ifdef VFIO_DEVICE_FEATURE_BUS_MASTER
SAME_VALUE(VFIO_DEVICE_FEATURE_BUS_MASTER);
#endif
#ifdef VFIO_DEVICE_FEATURE_DMA_BUF
SAME_VALUE(VFIO_DEVICE_FEATURE_DMA_BUF);
#endif
#ifdef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
SAME_VALUE(VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2);
#endif
#ifdef VFIO_DEVICE_FEATURE_ZPCI_ERROR
SAME_VALUE(VFIO_DEVICE_FEATURE_ZPCI_ERROR);
#endif

SAME_SIZE(vfio_device_feature_migration);
SAME_MEMBER(vfio_device_feature_migration, flags);
SAME_VALUE(VFIO_MIGRATION_STOP_COPY);
SAME_VALUE(VFIO_MIGRATION_P2P);
#ifdef VFIO_MIGRATION_PRE_COPY
SAME_VALUE(VFIO_MIGRATION_PRE_COPY);
#endif

SAME_SIZE(vfio_device_feature_mig_state);
SAME_MEMBER(vfio_device_feature_mig_state, device_state);
SAME_MEMBER(vfio_device_feature_mig_state, data_fd);
SAME_VALUE(VFIO_DEVICE_STATE_ERROR);
SAME_VALUE(VFIO_DEVICE_STATE_STOP);
SAME_VALUE(VFIO_DEVICE_STATE_RUNNING);
SAME_VALUE(VFIO_DEVICE_STATE_STOP_COPY);
SAME_VALUE(VFIO_DEVICE_STATE_RESUMING);
SAME_VALUE(VFIO_DEVICE_STATE_RUNNING_P2P);
#ifdef VFIO_MIGRATION_PRE_COPY
SAME_VALUE(VFIO_DEVICE_STATE_PRE_COPY);
SAME_VALUE(VFIO_DEVICE_STATE_PRE_COPY_P2P);
#endif

#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
SAME_SIZE(vfio_device_feature_mig_data_size);
SAME_MEMBER(vfio_device_feature_mig_data_size, stop_copy_length);
#endif

#ifdef VFIO_MIG_GET_PRECOPY_INFO
SAME_SIZE(vfio_precopy_info);
SAME_MEMBER(vfio_precopy_info, argsz);
SAME_MEMBER(vfio_precopy_info, flags);
SAME_MEMBER(vfio_precopy_info, initial_bytes);
SAME_MEMBER(vfio_precopy_info, dirty_bytes);
SAME_VALUE(VFIO_MIG_GET_PRECOPY_INFO);
#endif
#ifdef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
SAME_VALUE(VFIO_PRECOPY_INFO_REINIT);
#endif

SAME_SIZE(vfio_device_feature_dma_logging_control);
SAME_MEMBER(vfio_device_feature_dma_logging_control, page_size);
SAME_MEMBER(vfio_device_feature_dma_logging_control, num_ranges);
SAME_MEMBER(vfio_device_feature_dma_logging_control, __reserved);
SAME_MEMBER(vfio_device_feature_dma_logging_control, ranges);

SAME_SIZE(vfio_device_feature_dma_logging_range);
SAME_MEMBER(vfio_device_feature_dma_logging_range, iova);
SAME_MEMBER(vfio_device_feature_dma_logging_range, length);

SAME_SIZE(vfio_device_feature_dma_logging_report);
SAME_MEMBER(vfio_device_feature_dma_logging_report, iova);
SAME_MEMBER(vfio_device_feature_dma_logging_report, length);
SAME_MEMBER(vfio_device_feature_dma_logging_report, page_size);
SAME_MEMBER(vfio_device_feature_dma_logging_report, bitmap);

SAME_SIZE(vfio_device_low_power_entry_with_wakeup);
SAME_MEMBER(vfio_device_low_power_entry_with_wakeup, wakeup_eventfd);
SAME_MEMBER(vfio_device_low_power_entry_with_wakeup, reserved);

#ifdef VFIO_DEVICE_FEATURE_BUS_MASTER
SAME_SIZE(vfio_device_feature_bus_master);
SAME_MEMBER(vfio_device_feature_bus_master, op);
SAME_VALUE(VFIO_DEVICE_FEATURE_CLEAR_MASTER);
SAME_VALUE(VFIO_DEVICE_FEATURE_SET_MASTER);
#endif

#ifdef VFIO_DEVICE_FEATURE_DMA_BUF
SAME_SIZE(vfio_region_dma_range);
SAME_MEMBER(vfio_region_dma_range, offset);
SAME_MEMBER(vfio_region_dma_range, length);

SAME_SIZE(vfio_device_feature_dma_buf);
SAME_MEMBER(vfio_device_feature_dma_buf, region_index);
SAME_MEMBER(vfio_device_feature_dma_buf, open_flags);
SAME_MEMBER(vfio_device_feature_dma_buf, flags);
SAME_MEMBER(vfio_device_feature_dma_buf, nr_ranges);
SAME_TAIL(vfio_device_feature_dma_buf, dma_ranges, struct cvfio_region_dma_range);
#endif

#ifdef VFIO_DEVICE_FEATURE_ZPCI_ERROR
SAME_SIZE(vfio_device_feature_zpci_err);
SAME_MEMBER(vfio_device_feature_zpci_err, data);
#endif

#endif

// ---- <linux/dma-buf.h> ----

#if HEADERS_6_1

SAME_SIZE(dma_buf_sync);
SAME_MEMBER(dma_buf_sync, flags);
SAME_VALUE(DMA_BUF_SYNC_READ);
SAME_VALUE(DMA_BUF_SYNC_WRITE);
SAME_VALUE(DMA_BUF_SYNC_RW);
SAME_VALUE(DMA_BUF_SYNC_START);
SAME_VALUE(DMA_BUF_SYNC_END);
GROWING_VALUE(DMA_BUF_SYNC_VALID_FLAGS_MASK);

SAME_SIZE(dma_buf_export_sync_file);
SAME_MEMBER(dma_buf_export_sync_file, flags);
SAME_MEMBER(dma_buf_export_sync_file, fd);

SAME_SIZE(dma_buf_import_sync_file);
SAME_MEMBER(dma_buf_import_sync_file, flags);
SAME_MEMBER(dma_buf_import_sync_file, fd);
SAME_VALUE(DMA_BUF_NAME_LEN);
SAME_VALUE(DMA_BUF_IOCTL_SYNC);
SAME_VALUE(DMA_BUF_SET_NAME);
SAME_VALUE(DMA_BUF_SET_NAME_A);
SAME_VALUE(DMA_BUF_SET_NAME_B);
SAME_VALUE(DMA_BUF_IOCTL_EXPORT_SYNC_FILE);
SAME_VALUE(DMA_BUF_IOCTL_IMPORT_SYNC_FILE);

#endif

// ---- <linux/iommufd.h> ----

#ifdef HEADERS_HAVE_IOMMUFD

SAME_SIZE(iommu_destroy);
SAME_MEMBER(iommu_destroy, size);
SAME_MEMBER(iommu_destroy, id);
SAME_VALUE(IOMMU_DESTROY);

SAME_SIZE(iommu_ioas_alloc);
SAME_MEMBER(iommu_ioas_alloc, size);
SAME_MEMBER(iommu_ioas_alloc, flags);
SAME_MEMBER(iommu_ioas_alloc, out_ioas_id);
SAME_VALUE(IOMMU_IOAS_ALLOC);

SAME_SIZE(iommu_iova_range);
SAME_MEMBER(iommu_iova_range, start);
SAME_MEMBER(iommu_iova_range, last);

SAME_SIZE(iommu_ioas_allow_iovas);
SAME_MEMBER(iommu_ioas_allow_iovas, size);
SAME_MEMBER(iommu_ioas_allow_iovas, ioas_id);
SAME_MEMBER(iommu_ioas_allow_iovas, num_iovas);
SAME_MEMBER(iommu_ioas_allow_iovas, __reserved);
SAME_MEMBER(iommu_ioas_allow_iovas, allowed_iovas);
SAME_VALUE(IOMMU_IOAS_ALLOW_IOVAS);

SAME_SIZE(iommu_ioas_copy);
SAME_MEMBER(iommu_ioas_copy, size);
SAME_MEMBER(iommu_ioas_copy, flags);
SAME_MEMBER(iommu_ioas_copy, dst_ioas_id);
SAME_MEMBER(iommu_ioas_copy, src_ioas_id);
SAME_MEMBER(iommu_ioas_copy, length);
SAME_MEMBER(iommu_ioas_copy, dst_iova);
SAME_MEMBER(iommu_ioas_copy, src_iova);
SAME_VALUE(IOMMU_IOAS_COPY);

SAME_SIZE(iommu_ioas_iova_ranges);
SAME_MEMBER(iommu_ioas_iova_ranges, size);
SAME_MEMBER(iommu_ioas_iova_ranges, ioas_id);
SAME_MEMBER(iommu_ioas_iova_ranges, num_iovas);
SAME_MEMBER(iommu_ioas_iova_ranges, __reserved);
SAME_MEMBER(iommu_ioas_iova_ranges, allowed_iovas);
SAME_MEMBER(iommu_ioas_iova_ranges, out_iova_alignment);
SAME_VALUE(IOMMU_IOAS_IOVA_RANGES);

SAME_SIZE(iommu_ioas_map);
SAME_MEMBER(iommu_ioas_map, size);
SAME_MEMBER(iommu_ioas_map, flags);
SAME_MEMBER(iommu_ioas_map, ioas_id);
SAME_MEMBER(iommu_ioas_map, __reserved);
SAME_MEMBER(iommu_ioas_map, user_va);
SAME_MEMBER(iommu_ioas_map, length);
SAME_MEMBER(iommu_ioas_map, iova);
SAME_VALUE(IOMMU_IOAS_MAP_FIXED_IOVA);
SAME_VALUE(IOMMU_IOAS_MAP_WRITEABLE);
SAME_VALUE(IOMMU_IOAS_MAP_READABLE);
SAME_VALUE(IOMMU_IOAS_MAP);

SAME_SIZE(iommu_ioas_unmap);
SAME_MEMBER(iommu_ioas_unmap, size);
SAME_MEMBER(iommu_ioas_unmap, ioas_id);
SAME_MEMBER(iommu_ioas_unmap, iova);
SAME_MEMBER(iommu_ioas_unmap, length);
SAME_VALUE(IOMMU_IOAS_UNMAP);

#ifdef IOMMU_IOAS_MAP_FILE
SAME_SIZE(iommu_ioas_map_file);
SAME_MEMBER(iommu_ioas_map_file, size);
SAME_MEMBER(iommu_ioas_map_file, flags);
SAME_MEMBER(iommu_ioas_map_file, ioas_id);
SAME_MEMBER(iommu_ioas_map_file, fd);
SAME_MEMBER(iommu_ioas_map_file, start);
SAME_MEMBER(iommu_ioas_map_file, length);
SAME_MEMBER(iommu_ioas_map_file, iova);
SAME_VALUE(IOMMU_IOAS_MAP_FILE);
#endif

#if HEADERS_7_3
SAME_SIZE(iommu_ioas_change_process);
SAME_MEMBER(iommu_ioas_change_process, size);
SAME_MEMBER(iommu_ioas_change_process, __reserved);
SAME_VALUE(IOMMU_IOAS_CHANGE_PROCESS);

SAME_SIZE(iommu_ioas_noiommu_get_pa);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, size);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, flags);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, ioas_id);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, __reserved);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, iova);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, length);
SAME_MEMBER(iommu_ioas_noiommu_get_pa, out_phys);
SAME_VALUE(IOMMU_IOAS_NOIOMMU_GET_PA);
#endif

SAME_SIZE(iommu_option);
SAME_MEMBER(iommu_option, size);
SAME_MEMBER(iommu_option, option_id);
SAME_MEMBER(iommu_option, op);
SAME_MEMBER(iommu_option, __reserved);
SAME_MEMBER(iommu_option, object_id);
SAME_MEMBER(iommu_option, val64);
SAME_VALUE(IOMMU_OPTION_RLIMIT_MODE);
SAME_VALUE(IOMMU_OPTION_HUGE_PAGES);
SAME_VALUE(IOMMU_OPTION_OP_SET);
SAME_VALUE(IOMMU_OPTION_OP_GET);
SAME_VALUE(IOMMU_OPTION);

SAME_SIZE(iommu_vfio_ioas);
SAME_MEMBER(iommu_vfio_ioas, size);
SAME_MEMBER(iommu_vfio_ioas, ioas_id);
SAME_MEMBER(iommu_vfio_ioas, op);
SAME_MEMBER(iommu_vfio_ioas, __reserved);
SAME_VALUE(IOMMU_VFIO_IOAS_GET);
SAME_VALUE(IOMMU_VFIO_IOAS_SET);
SAME_VALUE(IOMMU_VFIO_IOAS_CLEAR);
SAME_VALUE(IOMMU_VFIO_IOAS);

SAME_SIZE(iommu_hwpt_alloc);
SAME_MEMBER(iommu_hwpt_alloc, size);
SAME_MEMBER(iommu_hwpt_alloc, flags);
SAME_MEMBER(iommu_hwpt_alloc, dev_id);
SAME_MEMBER(iommu_hwpt_alloc, pt_id);
SAME_MEMBER(iommu_hwpt_alloc, out_hwpt_id);
SAME_MEMBER(iommu_hwpt_alloc, __reserved);
SAME_MEMBER(iommu_hwpt_alloc, data_type);
SAME_MEMBER(iommu_hwpt_alloc, data_len);
SAME_MEMBER(iommu_hwpt_alloc, data_uptr);
SAME_MEMBER(iommu_hwpt_alloc, fault_id);
SAME_MEMBER(iommu_hwpt_alloc, __reserved2);
SAME_VALUE(IOMMU_HWPT_ALLOC_NEST_PARENT);
SAME_VALUE(IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
SAME_VALUE(IOMMU_HWPT_FAULT_ID_VALID);
SAME_VALUE(IOMMU_HWPT_DATA_NONE);
SAME_VALUE(IOMMU_HWPT_DATA_VTD_S1);
SAME_VALUE(IOMMU_HWPT_ALLOC);
#if HEADERS_7_3
SAME_VALUE(IOMMU_HWPT_ALLOC_PASID);
SAME_VALUE(IOMMU_HWPT_DATA_ARM_SMMUV3);
SAME_VALUE(IOMMU_HWPT_DATA_AMD_GUEST);
#endif

SAME_SIZE(iommu_hwpt_vtd_s1);
SAME_MEMBER(iommu_hwpt_vtd_s1, flags);
SAME_MEMBER(iommu_hwpt_vtd_s1, pgtbl_addr);
SAME_MEMBER(iommu_hwpt_vtd_s1, addr_width);
SAME_MEMBER(iommu_hwpt_vtd_s1, __reserved);
SAME_VALUE(IOMMU_VTD_S1_SRE);
SAME_VALUE(IOMMU_VTD_S1_EAFE);
SAME_VALUE(IOMMU_VTD_S1_WPE);

#if HEADERS_7_3
SAME_SIZE(iommu_hwpt_arm_smmuv3);
SAME_OFFSET(iommu_hwpt_arm_smmuv3, ste);

SAME_SIZE(iommu_hwpt_amd_guest);
SAME_OFFSET(iommu_hwpt_amd_guest, dte);
#endif

SAME_SIZE(iommu_hwpt_set_dirty_tracking);
SAME_MEMBER(iommu_hwpt_set_dirty_tracking, size);
SAME_MEMBER(iommu_hwpt_set_dirty_tracking, flags);
SAME_MEMBER(iommu_hwpt_set_dirty_tracking, hwpt_id);
SAME_MEMBER(iommu_hwpt_set_dirty_tracking, __reserved);
SAME_VALUE(IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
SAME_VALUE(IOMMU_HWPT_SET_DIRTY_TRACKING);

SAME_SIZE(iommu_hwpt_get_dirty_bitmap);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, size);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, hwpt_id);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, flags);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, __reserved);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, iova);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, length);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, page_size);
SAME_MEMBER(iommu_hwpt_get_dirty_bitmap, data);
SAME_VALUE(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
SAME_VALUE(IOMMU_HWPT_GET_DIRTY_BITMAP);

SAME_SIZE(iommu_hwpt_invalidate);
SAME_MEMBER(iommu_hwpt_invalidate, size);
SAME_MEMBER(iommu_hwpt_invalidate, hwpt_id);
SAME_MEMBER(iommu_hwpt_invalidate, data_uptr);
SAME_MEMBER(iommu_hwpt_invalidate, data_type);
SAME_MEMBER(iommu_hwpt_invalidate, entry_len);
SAME_MEMBER(iommu_hwpt_invalidate, entry_num);
SAME_MEMBER(iommu_hwpt_invalidate, __reserved);
SAME_VALUE(IOMMU_HWPT_INVALIDATE_DATA_VTD_S1);
SAME_VALUE(IOMMU_HWPT_INVALIDATE);
#if HEADERS_7_3
SAME_VALUE(IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3);
#endif

SAME_SIZE(iommu_hwpt_vtd_s1_invalidate);
SAME_MEMBER(iommu_hwpt_vtd_s1_invalidate, addr);
SAME_MEMBER(iommu_hwpt_vtd_s1_invalidate, npages);
SAME_MEMBER(iommu_hwpt_vtd_s1_invalidate, flags);
SAME_MEMBER(iommu_hwpt_vtd_s1_invalidate, __reserved);
SAME_VALUE(IOMMU_VTD_INV_FLAGS_LEAF);

#if HEADERS_7_3
SAME_SIZE(iommu_viommu_arm_smmuv3_invalidate);
SAME_OFFSET(iommu_viommu_arm_smmuv3_invalidate, cmd);
#endif

SAME_SIZE(iommu_hw_info);
SAME_MEMBER(iommu_hw_info, size);
SAME_MEMBER(iommu_hw_info, flags);
SAME_MEMBER(iommu_hw_info, dev_id);
SAME_MEMBER(iommu_hw_info, data_len);
SAME_MEMBER(iommu_hw_info, data_uptr);
SAME_MEMBER(iommu_hw_info, out_data_type);
SAME_MEMBER(iommu_hw_info, out_capabilities);
SAME_VALUE(IOMMU_HW_INFO_TYPE_NONE);
SAME_VALUE(IOMMU_HW_INFO_TYPE_INTEL_VTD);
SAME_VALUE(IOMMU_HW_CAP_DIRTY_TRACKING);
SAME_VALUE(IOMMU_GET_HW_INFO);
#if HEADERS_7_3
SAME_MEMBER(iommu_hw_info, in_data_type);
SAME_VALUE(IOMMU_HW_INFO_FLAG_INPUT_TYPE);
SAME_VALUE(IOMMU_HW_INFO_TYPE_DEFAULT);
SAME_VALUE(IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
SAME_VALUE(IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV);
SAME_VALUE(IOMMU_HW_INFO_TYPE_AMD);
SAME_VALUE(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
#endif
#if HEADERS_HAVE_PASID_INFO
SAME_MEMBER(iommu_hw_info, out_max_pasid_log2);
SAME_OFFSET(iommu_hw_info, __reserved);
SAME_VALUE(IOMMU_HW_CAP_PCI_PASID_EXEC);
SAME_VALUE(IOMMU_HW_CAP_PCI_PASID_PRIV);
#endif

SAME_SIZE(iommu_hw_info_vtd);
SAME_MEMBER(iommu_hw_info_vtd, flags);
SAME_MEMBER(iommu_hw_info_vtd, __reserved);
SAME_MEMBER(iommu_hw_info_vtd, cap_reg);
SAME_MEMBER(iommu_hw_info_vtd, ecap_reg);
SAME_VALUE(IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17);

#if HEADERS_7_3
SAME_SIZE(iommu_hw_info_arm_smmuv3);
SAME_MEMBER(iommu_hw_info_arm_smmuv3, flags);
SAME_MEMBER(iommu_hw_info_arm_smmuv3, __reserved);
SAME_OFFSET(iommu_hw_info_arm_smmuv3, idr);
SAME_MEMBER(iommu_hw_info_arm_smmuv3, iidr);
SAME_MEMBER(iommu_hw_info_arm_smmuv3, aidr);
SAME_VALUE(IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI);

SAME_SIZE(iommu_hw_info_tegra241_cmdqv);
SAME_MEMBER(iommu_hw_info_tegra241_cmdqv, flags);
SAME_MEMBER(iommu_hw_info_tegra241_cmdqv, version);
SAME_MEMBER(iommu_hw_info_tegra241_cmdqv, log2vcmdqs);
SAME_MEMBER(iommu_hw_info_tegra241_cmdqv, log2vsids);
SAME_MEMBER(iommu_hw_info_tegra241_cmdqv, __reserved);

SAME_SIZE(iommu_hw_info_amd);
SAME_MEMBER(iommu_hw_info_amd, efr);
SAME_MEMBER(iommu_hw_info_amd, efr2);
#endif

SAME_SIZE(iommu_fault_alloc);
SAME_MEMBER(iommu_fault_alloc, size);
SAME_MEMBER(iommu_fault_alloc, flags);
SAME_MEMBER(iommu_fault_alloc, out_fault_id);
SAME_MEMBER(iommu_fault_alloc, out_fault_fd);
SAME_VALUE(IOMMU_FAULT_QUEUE_ALLOC);

SAME_SIZE(iommu_hwpt_pgfault);
SAME_MEMBER(iommu_hwpt_pgfault, flags);
SAME_MEMBER(iommu_hwpt_pgfault, dev_id);
SAME_MEMBER(iommu_hwpt_pgfault, pasid);
SAME_MEMBER(iommu_hwpt_pgfault, grpid);
SAME_MEMBER(iommu_hwpt_pgfault, perm);
SAME_MEMBER(iommu_hwpt_pgfault, __reserved);
SAME_MEMBER(iommu_hwpt_pgfault, addr);
SAME_MEMBER(iommu_hwpt_pgfault, length);
SAME_MEMBER(iommu_hwpt_pgfault, cookie);
SAME_VALUE(IOMMU_PGFAULT_FLAGS_PASID_VALID);
SAME_VALUE(IOMMU_PGFAULT_FLAGS_LAST_PAGE);
SAME_VALUE(IOMMU_PGFAULT_PERM_READ);
SAME_VALUE(IOMMU_PGFAULT_PERM_WRITE);
SAME_VALUE(IOMMU_PGFAULT_PERM_EXEC);
SAME_VALUE(IOMMU_PGFAULT_PERM_PRIV);

SAME_SIZE(iommu_hwpt_page_response);
SAME_MEMBER(iommu_hwpt_page_response, cookie);
SAME_MEMBER(iommu_hwpt_page_response, code);
SAME_VALUE(IOMMUFD_PAGE_RESP_SUCCESS);
SAME_VALUE(IOMMUFD_PAGE_RESP_INVALID);

#if HEADERS_7_3
SAME_SIZE(iommu_viommu_alloc);
SAME_MEMBER(iommu_viommu_alloc, size);
SAME_MEMBER(iommu_viommu_alloc, flags);
SAME_MEMBER(iommu_viommu_alloc, type);
SAME_MEMBER(iommu_viommu_alloc, dev_id);
SAME_MEMBER(iommu_viommu_alloc, hwpt_id);
SAME_MEMBER(iommu_viommu_alloc, out_viommu_id);
SAME_MEMBER(iommu_viommu_alloc, data_len);
SAME_MEMBER(iommu_viommu_alloc, __reserved);
SAME_MEMBER(iommu_viommu_alloc, data_uptr);
SAME_VALUE(IOMMU_VIOMMU_TYPE_DEFAULT);
SAME_VALUE(IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
SAME_VALUE(IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
SAME_VALUE(IOMMU_VIOMMU_ALLOC);

SAME_SIZE(iommu_viommu_tegra241_cmdqv);
SAME_MEMBER(iommu_viommu_tegra241_cmdqv, out_vintf_mmap_offset);
SAME_MEMBER(iommu_viommu_tegra241_cmdqv, out_vintf_mmap_length);

SAME_SIZE(iommu_vdevice_alloc);
SAME_MEMBER(iommu_vdevice_alloc, size);
SAME_MEMBER(iommu_vdevice_alloc, viommu_id);
SAME_MEMBER(iommu_vdevice_alloc, dev_id);
SAME_MEMBER(iommu_vdevice_alloc, out_vdevice_id);
SAME_MEMBER(iommu_vdevice_alloc, virt_id);
SAME_VALUE(IOMMU_VDEVICE_ALLOC);

SAME_SIZE(iommu_veventq_alloc);
SAME_MEMBER(iommu_veventq_alloc, size);
SAME_MEMBER(iommu_veventq_alloc, flags);
SAME_MEMBER(iommu_veventq_alloc, viommu_id);
SAME_MEMBER(iommu_veventq_alloc, type);
SAME_MEMBER(iommu_veventq_alloc, veventq_depth);
SAME_MEMBER(iommu_veventq_alloc, out_veventq_id);
SAME_MEMBER(iommu_veventq_alloc, out_veventq_fd);
SAME_MEMBER(iommu_veventq_alloc, __reserved);
SAME_VALUE(IOMMU_VEVENTQ_TYPE_DEFAULT);
SAME_VALUE(IOMMU_VEVENTQ_TYPE_ARM_SMMUV3);
SAME_VALUE(IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV);
SAME_VALUE(IOMMU_VEVENTQ_ALLOC);

SAME_SIZE(iommufd_vevent_header);
SAME_MEMBER(iommufd_vevent_header, flags);
SAME_MEMBER(iommufd_vevent_header, sequence);
SAME_VALUE(IOMMU_VEVENTQ_FLAG_LOST_EVENTS);

SAME_SIZE(iommu_vevent_arm_smmuv3);
SAME_OFFSET(iommu_vevent_arm_smmuv3, evt);

SAME_SIZE(iommu_vevent_tegra241_cmdqv);
SAME_OFFSET(iommu_vevent_tegra241_cmdqv, lvcmdq_err_map);

SAME_SIZE(iommu_hw_queue_alloc);
SAME_MEMBER(iommu_hw_queue_alloc, size);
SAME_MEMBER(iommu_hw_queue_alloc, flags);
SAME_MEMBER(iommu_hw_queue_alloc, viommu_id);
SAME_MEMBER(iommu_hw_queue_alloc, type);
SAME_MEMBER(iommu_hw_queue_alloc, index);
SAME_MEMBER(iommu_hw_queue_alloc, out_hw_queue_id);
SAME_MEMBER(iommu_hw_queue_alloc, nesting_parent_iova);
SAME_MEMBER(iommu_hw_queue_alloc, length);
SAME_VALUE(IOMMU_HW_QUEUE_TYPE_DEFAULT);
SAME_VALUE(IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV);
SAME_VALUE(IOMMU_HW_QUEUE_ALLOC);
#endif

#endif

// ---- <linux/kvm.h> ----

#ifdef HEADERS_HAVE_KVM

SAME_SIZE(kvm_create_device);
SAME_MEMBER(kvm_create_device, type);
SAME_MEMBER(kvm_create_device, fd);
SAME_MEMBER(kvm_create_device, flags);
SAME_VALUE(KVM_CREATE_DEVICE_TEST);
SAME_VALUE(KVM_DEV_TYPE_VFIO);

SAME_SIZE(kvm_device_attr);
SAME_MEMBER(kvm_device_attr, flags);
SAME_MEMBER(kvm_device_attr, group);
SAME_MEMBER(kvm_device_attr, attr);
SAME_MEMBER(kvm_device_attr, addr);
#ifdef KVM_DEV_VFIO_FILE
SAME_VALUE(KVM_DEV_VFIO_FILE);
SAME_VALUE(KVM_DEV_VFIO_FILE_ADD);
SAME_VALUE(KVM_DEV_VFIO_FILE_DEL);
#endif

SAME_SIZE(kvm_irqfd);
SAME_MEMBER(kvm_irqfd, fd);
SAME_MEMBER(kvm_irqfd, gsi);
SAME_MEMBER(kvm_irqfd, flags);
SAME_MEMBER(kvm_irqfd, resamplefd);
SAME_OFFSET(kvm_irqfd, pad);
SAME_VALUE(KVM_IRQFD_FLAG_DEASSIGN);
SAME_VALUE(KVM_IRQFD_FLAG_RESAMPLE);

SAME_SIZE(kvm_ioeventfd);
SAME_MEMBER(kvm_ioeventfd, datamatch);
SAME_MEMBER(kvm_ioeventfd, addr);
SAME_MEMBER(kvm_ioeventfd, len);
SAME_MEMBER(kvm_ioeventfd, fd);
SAME_MEMBER(kvm_ioeventfd, flags);
SAME_OFFSET(kvm_ioeventfd, pad);
SAME_VALUE(KVM_IOEVENTFD_FLAG_DATAMATCH);
SAME_VALUE(KVM_IOEVENTFD_FLAG_PIO);
SAME_VALUE(KVM_IOEVENTFD_FLAG_DEASSIGN);

SAME_SIZE(kvm_userspace_memory_region);
SAME_MEMBER(kvm_userspace_memory_region, slot);
SAME_MEMBER(kvm_userspace_memory_region, flags);
SAME_MEMBER(kvm_userspace_memory_region, guest_phys_addr);
SAME_MEMBER(kvm_userspace_memory_region, memory_size);
SAME_MEMBER(kvm_userspace_memory_region, userspace_addr);
SAME_VALUE(KVM_MEM_LOG_DIRTY_PAGES);
SAME_VALUE(KVM_MEM_READONLY);
SAME_VALUE(KVM_GET_API_VERSION);
SAME_VALUE(KVM_CREATE_VM);
SAME_VALUE(KVM_CREATE_IRQCHIP);
SAME_VALUE(KVM_SET_USER_MEMORY_REGION);
SAME_VALUE(KVM_IRQFD);
SAME_VALUE(KVM_IOEVENTFD);
SAME_VALUE(KVM_CREATE_DEVICE);
SAME_VALUE(KVM_SET_DEVICE_ATTR);
SAME_VALUE(KVM_GET_DEVICE_ATTR);
SAME_VALUE(KVM_HAS_DEVICE_ATTR);

#endif

// ---- Self-test ----

// One wrong assertion of each kind. Tests/Headers defines CVFIO_ABI_SELFTEST and expects every one to fail.
#ifdef CVFIO_ABI_SELFTEST

struct selftest_size { uint32_t a; uint32_t b; };
struct cselftest_size { uint32_t a; };
SAME_SIZE(selftest_size);

struct selftest_offset { uint32_t a; uint32_t b[2]; };
struct cselftest_offset { uint64_t a; uint32_t b[2]; };
SAME_OFFSET(selftest_offset, b);

struct selftest_width { uint32_t a[2]; };
struct cselftest_width { uint32_t a; };
SAME_OFFSET(selftest_width, a);

struct selftest_sign { uint32_t a; };
struct cselftest_sign { int32_t a; };
SAME_MEMBER(selftest_sign, a);

struct selftest_tail { uint32_t a; uint32_t b[]; };
struct cselftest_tail { uint32_t a; };
SAME_TAIL(selftest_tail, b, uint8_t);

#define SELFTEST_VALUE 1
static const uint32_t CSELFTEST_VALUE = 2;
SAME_VALUE(SELFTEST_VALUE);

#define SELFTEST_BITS -1
static const uint32_t CSELFTEST_BITS = 1;
SAME_BITS(SELFTEST_BITS);

#define SELFTEST_GROWING 1
static const uint32_t CSELFTEST_GROWING = 2;
GROWING_VALUE(SELFTEST_GROWING);

#define SELFTEST_STRING "vfio-pci"
#define CSELFTEST_STRING "vfio-cpi"
SAME_STRING(SELFTEST_STRING);

SIZE(cselftest_size, 3);

#endif
