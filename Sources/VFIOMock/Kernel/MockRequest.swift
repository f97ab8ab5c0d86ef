internal import CVFIO

/// The request number of an ioctl, for ``MockMachine/failNextCall(_:with:request:skipping:count:)``.
///
/// The names are those of the kernel's headers without the prefix. VFIO uses some numbers for several types of
/// descriptor: `.iommuMapDMA` and `.deviceGetPCIHotResetInfo` are equal.
public struct MockRequest: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt

    public init(rawValue: UInt) { self.rawValue = rawValue }

    // MARK: Containers and groups

    /// `VFIO_CHECK_EXTENSION`
    public static var checkExtension: MockRequest { MockRequest(rawValue: CVFIO_CHECK_EXTENSION) }
    /// `VFIO_SET_IOMMU`
    public static var setIOMMU: MockRequest { MockRequest(rawValue: CVFIO_SET_IOMMU) }
    /// `VFIO_GROUP_GET_STATUS`
    public static var groupGetStatus: MockRequest { MockRequest(rawValue: CVFIO_GROUP_GET_STATUS) }
    /// `VFIO_GROUP_SET_CONTAINER`
    public static var groupSetContainer: MockRequest { MockRequest(rawValue: CVFIO_GROUP_SET_CONTAINER) }
    /// `VFIO_GROUP_GET_DEVICE_FD`
    public static var groupGetDeviceFD: MockRequest { MockRequest(rawValue: CVFIO_GROUP_GET_DEVICE_FD) }
    /// `VFIO_IOMMU_GET_INFO`
    public static var iommuGetInfo: MockRequest { MockRequest(rawValue: CVFIO_IOMMU_GET_INFO) }
    /// `VFIO_IOMMU_MAP_DMA`
    public static var iommuMapDMA: MockRequest { MockRequest(rawValue: CVFIO_IOMMU_MAP_DMA) }
    /// `VFIO_IOMMU_UNMAP_DMA`
    public static var iommuUnmapDMA: MockRequest { MockRequest(rawValue: CVFIO_IOMMU_UNMAP_DMA) }

    /// `IOMMU_VFIO_IOAS`
    public static var vfioIOAS: MockRequest { MockRequest(rawValue: CIOMMU_VFIO_IOAS) }
    /// `IOMMU_IOAS_NOIOMMU_GET_PA`
    public static var ioasNoIOMMUGetPA: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_NOIOMMU_GET_PA) }

    // MARK: Devices

    /// `VFIO_DEVICE_BIND_IOMMUFD`
    public static var deviceBind: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_BIND_IOMMUFD) }
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`
    public static var deviceAttach: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_ATTACH_IOMMUFD_PT) }
    /// `VFIO_DEVICE_GET_INFO`
    public static var deviceGetInfo: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_GET_INFO) }
    /// `VFIO_DEVICE_GET_REGION_INFO`
    public static var deviceGetRegionInfo: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_GET_REGION_INFO) }
    /// `VFIO_DEVICE_GET_IRQ_INFO`
    public static var deviceGetIRQInfo: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_GET_IRQ_INFO) }
    /// `VFIO_DEVICE_SET_IRQS`
    public static var deviceSetIRQs: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_SET_IRQS) }
    /// `VFIO_DEVICE_RESET`
    public static var deviceReset: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_RESET) }
    /// `VFIO_DEVICE_FEATURE`, which also exports dma-bufs
    public static var deviceFeature: MockRequest { MockRequest(rawValue: CVFIO_DEVICE_FEATURE) }

    // MARK: iommufd

    /// `IOMMU_IOAS_ALLOC`
    public static var ioasAlloc: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_ALLOC) }
    /// `IOMMU_IOAS_IOVA_RANGES`
    public static var ioasIOVARanges: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_IOVA_RANGES) }
    /// `IOMMU_IOAS_MAP`
    public static var ioasMap: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_MAP) }
    /// `IOMMU_IOAS_MAP_FILE`
    public static var ioasMapFile: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_MAP_FILE) }
    /// `IOMMU_IOAS_UNMAP`
    public static var ioasUnmap: MockRequest { MockRequest(rawValue: CIOMMU_IOAS_UNMAP) }

    // MARK: KVM

    /// `KVM_CREATE_DEVICE`
    public static var kvmCreateDevice: MockRequest { MockRequest(rawValue: CKVM_CREATE_DEVICE) }
    /// `KVM_SET_DEVICE_ATTR`
    public static var kvmSetDeviceAttribute: MockRequest { MockRequest(rawValue: CKVM_SET_DEVICE_ATTR) }
    /// `KVM_SET_USER_MEMORY_REGION`
    public static var kvmSetUserMemoryRegion: MockRequest { MockRequest(rawValue: CKVM_SET_USER_MEMORY_REGION) }
    /// `KVM_IRQFD`
    public static var kvmIRQFD: MockRequest { MockRequest(rawValue: CKVM_IRQFD) }
    /// `KVM_IOEVENTFD`
    public static var kvmIOEventFD: MockRequest { MockRequest(rawValue: CKVM_IOEVENTFD) }
}
