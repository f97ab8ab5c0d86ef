/// What a mock kernel offers: the release that it calls itself, the features that depend on its configuration, and
/// whose details it follows.
///
/// The presets are the kernels that the project's lab boots; the contract suite holds the mock to them. For anything
/// else, take the nearest one and change it:
/// ```swift
/// var release = MockRelease.iommufd
/// release.hasDMABuf = false
/// let machine = MockMachine(release)
/// ```
public struct MockRelease: Sendable, Hashable {
    /// Which kernel is followed where releases differ in details: which errno, which sizes, which widths of access.
    public enum Generation: Sendable, Hashable {
        /// A range that wraps round is `EINVAL` to a container; conventional PCI devices have no error interrupt; MSI-X
        /// vectors are all turned on at once; memory that a device may write it may read as well.
        case linux6_1
        /// As the sources of 7.3 have it.
        case linux7_3
    }

    /// What `/proc/sys/kernel/osrelease` says.
    public var name: String
    public var generation: Generation
    /// There are groups and containers: `/dev/vfio/vfio`, `/dev/vfio/NUMBER` (CONFIG_VFIO_GROUP,
    /// CONFIG_VFIO_CONTAINER).
    public var hasContainer: Bool
    /// There is `/dev/iommu` (CONFIG_IOMMUFD, since 6.2).
    public var hasIOMMUFD: Bool
    /// Devices have nodes of their own, `/dev/vfio/devices/vfioN` (CONFIG_VFIO_DEVICE_CDEV, since 6.6).
    public var hasDeviceNodes: Bool
    /// `IOMMU_IOAS_MAP_FILE` takes memfds (since 6.13); dma-bufs as well when ``hasDMABuf`` is set.
    public var hasMapFile: Bool
    /// BARs can be exported as dma-bufs (CONFIG_VFIO_PCI_DMABUF, since 6.19).
    public var hasDMABuf: Bool
    /// Devices in low power are suspended when they are idle, and woken by an access (CONFIG_PM).
    public var hasRuntimePowerManagement: Bool
    /// vfio-pci takes devices without an IOMMU (CONFIG_VFIO_NOIOMMU, and the parameter `enable_unsafe_noiommu_mode` of the
    /// module vfio).
    public var hasUnsafeNoIOMMUMode: Bool
    /// There is `/dev/kvm`, with the kvm-vfio device (CONFIG_KVM, CONFIG_KVM_VFIO).
    public var hasKVM: Bool

    public init(
        name: String,
        generation: Generation,
        hasContainer: Bool = true,
        hasIOMMUFD: Bool = false,
        hasDeviceNodes: Bool = false,
        hasMapFile: Bool = false,
        hasDMABuf: Bool = false,
        hasRuntimePowerManagement: Bool = true,
        hasUnsafeNoIOMMUMode: Bool = false,
        hasKVM: Bool = false
    ) {
        self.name = name
        self.generation = generation
        self.hasContainer = hasContainer
        self.hasIOMMUFD = hasIOMMUFD
        self.hasDeviceNodes = hasDeviceNodes
        self.hasMapFile = hasMapFile
        self.hasDMABuf = hasDMABuf
        self.hasRuntimePowerManagement = hasRuntimePowerManagement
        self.hasUnsafeNoIOMMUMode = hasUnsafeNoIOMMUMode
        self.hasKVM = hasKVM
    }

    /// Linux 7.3 with containers, iommufd, device nodes, dma-bufs, the unsafe no-IOMMU mode and KVM.
    public static let iommufd = MockRelease(
        name: "7.3.0", generation: .linux7_3, hasIOMMUFD: true, hasDeviceNodes: true, hasMapFile: true, hasDMABuf: true,
        hasUnsafeNoIOMMUMode: true, hasKVM: true)

    /// Debian's 7.3.4: containers and dma-bufs, but neither iommufd nor device nodes.
    public static let stock = MockRelease(name: "7.3.4+deb13-amd64", generation: .linux7_3, hasDMABuf: true)

    /// Debian's 6.1: containers, and nothing newer.
    public static let linux6_1 = MockRelease(name: "6.1.0-50-amd64", generation: .linux6_1)
}

extension MockRelease: CustomStringConvertible {
    public var description: String { name }

    /// Whether it is 6.1 whose details count.
    var follows6_1: Bool { generation == .linux6_1 }
}
