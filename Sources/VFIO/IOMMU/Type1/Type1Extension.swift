internal import CVFIO

/// Something that a container may be able to do, as `VFIO_CHECK_EXTENSION` numbers it.
///
/// ```swift
/// if try space.supports(.updateVaddr) { … }
/// ```
public struct Type1Extension: RawRepresentable, Sendable, Hashable {
    /// The number that the kernel is asked for.
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The first version of type1 (`VFIO_TYPE1_IOMMU`), which this library never uses.
    public static let type1 = Type1Extension(rawValue: 1)
    /// The IOMMU of POWER machines (`VFIO_SPAPR_TCE_IOMMU`), which this library has no address space for.
    public static let spaprTCE = Type1Extension(rawValue: 2)
    /// type1 whose unmaps never split a mapping (`VFIO_TYPE1v2_IOMMU`): what an ``AddressSpace`` uses.
    public static let type1v2 = Type1Extension(rawValue: 3)
    /// All DMA is coherent with the CPU's caches, whatever a device asks for (`VFIO_DMA_CC_IOMMU`).
    ///
    /// Known once there is a device. A virtual machine monitor that hears no may have to let its guest flush caches.
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
    /// Told before the first device: with one behind an IOMMU it is no longer possible.
    public static let noIOMMU = Type1Extension(rawValue: 8)
    /// One request unmaps everything (`VFIO_UNMAP_ALL`).
    ///
    /// The library makes no such request, and offers none: each ``DMAMapping``, ``DMABuffer`` and ``PeerMapping`` unmaps its
    /// own part at its end, and one that is alive says that the devices reach it. All at once are unmapped with the
    /// ``AddressSpace`` itself, which nothing that is mapped outlives.
    public static let unmapAll = Type1Extension(rawValue: 9)
    /// The process can give up the addresses of its mappings and set others, while DMA goes on (`VFIO_UPDATE_VADDR`).
    ///
    /// Known once there is a device. Mediated devices take it away.
    public static let updateVaddr = Type1Extension(rawValue: 10)
}
