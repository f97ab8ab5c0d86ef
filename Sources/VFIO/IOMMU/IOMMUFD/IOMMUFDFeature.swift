/// Something that an iommufd may be able to do: a request of it that this kernel knows or not.
///
/// ```swift
/// if try space.supports(.mapFile) { … }
/// ```
public enum IOMMUFDFeature: Sendable, Hashable, CaseIterable {
    /// Ranges that later devices may not take away: `IOMMU_IOAS_ALLOW_IOVAS` (Linux 6.2).
    case allowedRanges
    /// Copies of mappings in another address space: `IOMMU_IOAS_COPY` (Linux 6.2).
    case copy
    /// Options: `IOMMU_OPTION` (Linux 6.2).
    case options
    /// Containers of VFIO that are an iommufd: `IOMMU_VFIO_IOAS` (Linux 6.2).
    case containers
    /// What the IOMMU is: `IOMMU_GET_HW_INFO` (Linux 6.6).
    case hardwareInfo
    /// Page tables that are objects: `IOMMU_HWPT_ALLOC` (Linux 6.6).
    case pageTables
    /// Dirty pages by the IOMMU: `IOMMU_HWPT_SET_DIRTY_TRACKING`, `IOMMU_HWPT_GET_DIRTY_BITMAP` (Linux 6.7).
    case dirtyTracking
    /// Invalidation of nested page tables: `IOMMU_HWPT_INVALIDATE` (Linux 6.8).
    case invalidation
    /// Page faults for the process to answer: `IOMMU_FAULT_QUEUE_ALLOC` (Linux 6.11).
    case faultQueues
    /// Mappings of files: `IOMMU_IOAS_MAP_FILE` (Linux 6.13; of dma-bufs, Linux 6.19).
    case mapFile
    /// IOMMUs of virtual machines: `IOMMU_VIOMMU_ALLOC`, `IOMMU_VDEVICE_ALLOC` (Linux 6.13).
    case virtualIOMMUs
    /// Handing the mappings of files to another process: `IOMMU_IOAS_CHANGE_PROCESS` (Linux 6.14).
    case changeProcess
    /// Events of virtual IOMMUs: `IOMMU_VEVENTQ_ALLOC` (Linux 6.15).
    case virtualEventQueues
    /// Queues in a guest's memory that the hardware reads: `IOMMU_HW_QUEUE_ALLOC` (Linux 6.17).
    case hardwareQueues
    /// Physical addresses of what is mapped, for devices without an IOMMU: `IOMMU_IOAS_NOIOMMU_GET_PA` (Linux 7.3).
    case physicalAddresses

    var request: ABI.Call {
        switch self {
        case .allowedRanges: .allowIOVAs
        case .copy: .copyMapping
        case .options: .option
        case .containers: .containerSpace
        case .hardwareInfo: .getHardwareInfo
        case .pageTables: .makePageTable
        case .dirtyTracking: .getDirtyBitmap
        case .invalidation: .invalidate
        case .faultQueues: .makeFaultQueue
        case .mapFile: .mapFile
        case .virtualIOMMUs: .makeVirtualIOMMU
        case .changeProcess: .changeProcess
        case .virtualEventQueues: .makeEventQueue
        case .hardwareQueues: .makeHardwareQueue
        case .physicalAddresses: .getPhysicalAddress
        }
    }
}
