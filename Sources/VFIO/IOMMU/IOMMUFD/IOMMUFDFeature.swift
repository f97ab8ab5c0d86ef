/// An optional request of iommufd, which the kernel may lack.
///
/// ```swift
/// if try space.supports(.mapFile) { … }
/// ```
public enum IOMMUFDFeature: Sendable, Hashable, CaseIterable {
    /// Ranges that later devices cannot reserve: `IOMMU_IOAS_ALLOW_IOVAS` (Linux 6.2).
    case allowedRanges
    /// Copies of mappings in another address space: `IOMMU_IOAS_COPY` (Linux 6.2).
    case copy
    /// Options: `IOMMU_OPTION` (Linux 6.2).
    case options
    /// An iommufd in the place of a VFIO container: `IOMMU_VFIO_IOAS` (Linux 6.2).
    case containers
    /// Hardware information: `IOMMU_GET_HW_INFO` (Linux 6.6).
    case hardwareInfo
    /// Explicitly allocated page tables: `IOMMU_HWPT_ALLOC` (Linux 6.6).
    case pageTables
    /// Dirty tracking by the IOMMU: `IOMMU_HWPT_SET_DIRTY_TRACKING`, `IOMMU_HWPT_GET_DIRTY_BITMAP` (Linux 6.7).
    case dirtyTracking
    /// Invalidation of nested page tables: `IOMMU_HWPT_INVALIDATE` (Linux 6.8).
    case invalidation
    /// Page faults handled by the process: `IOMMU_FAULT_QUEUE_ALLOC` (Linux 6.11).
    case faultQueues
    /// Mappings of files: `IOMMU_IOAS_MAP_FILE` (Linux 6.13; of dma-bufs, Linux 6.19).
    case mapFile
    /// Virtual IOMMUs: `IOMMU_VIOMMU_ALLOC`, `IOMMU_VDEVICE_ALLOC` (Linux 6.13).
    case virtualIOMMUs
    /// Transfer of file mappings to another process: `IOMMU_IOAS_CHANGE_PROCESS` (Linux 6.14).
    case changeProcess
    /// Events of virtual IOMMUs: `IOMMU_VEVENTQ_ALLOC` (Linux 6.15).
    case virtualEventQueues
    /// Queues in guest memory that the hardware reads: `IOMMU_HW_QUEUE_ALLOC` (Linux 6.17).
    case hardwareQueues
    /// Physical addresses of mappings, for devices without an IOMMU: `IOMMU_IOAS_NOIOMMU_GET_PA` (Linux 7.3).
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
