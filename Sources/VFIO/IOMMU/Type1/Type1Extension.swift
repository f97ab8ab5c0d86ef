internal import CVFIO

/// An optional feature of a container, by its number in `VFIO_CHECK_EXTENSION`.
///
/// ```swift
/// if try space.supports(.updateVaddr) { … }
/// ```
public struct Type1Extension: RawRepresentable, Sendable, Hashable {
    /// The extension's number.
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The first version of type1 (`VFIO_TYPE1_IOMMU`), which this library never uses.
    public static let type1 = Type1Extension(rawValue: 1)
    /// The IOMMU of POWER machines (`VFIO_SPAPR_TCE_IOMMU`), which this library does not support.
    public static let spaprTCE = Type1Extension(rawValue: 2)
    /// type1 whose unmaps never split a mapping (`VFIO_TYPE1v2_IOMMU`): what an ``AddressSpace`` uses.
    public static let type1v2 = Type1Extension(rawValue: 3)
    /// All DMA is coherent with the CPU's caches, even if a device requests otherwise (`VFIO_DMA_CC_IOMMU`).
    ///
    /// Known once there is a device. Without it a virtual machine monitor may have to let its guest flush caches.
    public static let enforcedCacheCoherency = Type1Extension(rawValue: 4)
    /// Error recovery of POWER machines (`VFIO_EEH`).
    public static let enhancedErrorHandling = Type1Extension(rawValue: 5)
    /// Two stages of translation (`VFIO_TYPE1_NESTING_IOMMU`). Newer kernels have it in iommufd only.
    public static let nesting = Type1Extension(rawValue: 6)
    /// The second version of ``spaprTCE`` (`VFIO_SPAPR_TCE_v2_IOMMU`).
    public static let spaprTCEv2 = Type1Extension(rawValue: 7)
    /// Containers without translation and without isolation (`VFIO_NOIOMMU_IOMMU`), which only an
    /// ``NoIOMMUAddressSpace`` uses.
    ///
    /// Valid before the first device: with a device behind an IOMMU it is no longer possible.
    public static let noIOMMU = Type1Extension(rawValue: 8)
    /// One request unmaps everything (`VFIO_UNMAP_ALL`).
    ///
    /// The library does not make this request: each ``DMAMapping``, ``DMABuffer`` and ``PeerMapping`` unmaps its own
    /// range when it is closed, and while one is open its memory is accessible to the devices. Everything is unmapped
    /// with the ``AddressSpace``, which its mappings keep open.
    public static let unmapAll = Type1Extension(rawValue: 9)
    /// The process can invalidate the addresses of its mappings and set others, while DMA continues
    /// (`VFIO_UPDATE_VADDR`).
    ///
    /// Known once there is a device. Not available with mediated devices.
    public static let updateVaddr = Type1Extension(rawValue: 10)
}
