/// The release of a mock kernel: its name, its configuration, and the kernel whose details it follows.
///
/// The presets are the kernels of the project's lab; the contract suite runs on both. For another configuration, change
/// the nearest preset:
/// ```swift
/// var release = MockRelease.iommufd
/// release.hasDMABuf = false
/// let machine = MockMachine(release)
/// ```
public struct MockRelease: Sendable, Hashable {
    /// The kernel to follow where releases differ in details: errno, sizes, access widths.
    public enum Generation: Sendable, Hashable {
        /// A range that wraps around is `EINVAL` to a container; conventional PCI devices have no error interrupt; all
        /// MSI-X vectors are enabled at once; memory that a device may write is readable too.
        case linux6_1
        /// Linux 7.3.
        case linux7_3
    }

    /// The contents of `/proc/sys/kernel/osrelease`.
    public var name: String
    public var generation: Generation
    /// Whether there are groups and containers, `/dev/vfio/vfio` and `/dev/vfio/NUMBER` (CONFIG_VFIO_GROUP,
    /// CONFIG_VFIO_CONTAINER).
    public var hasContainer: Bool
    /// Whether there is `/dev/iommu` (CONFIG_IOMMUFD, since 6.2).
    public var hasIOMMUFD: Bool
    /// Whether devices have nodes `/dev/vfio/devices/vfioN` (CONFIG_VFIO_DEVICE_CDEV, since 6.6).
    public var hasDeviceNodes: Bool
    /// Whether `IOMMU_IOAS_MAP_FILE` accepts memfds (since 6.13), and dma-bufs if ``hasDMABuf`` is set.
    public var hasMapFile: Bool
    /// Whether BARs can be exported as dma-bufs (CONFIG_VFIO_PCI_DMABUF, since 6.19).
    public var hasDMABuf: Bool
    /// Whether idle devices in low power are suspended, and resumed by an access (CONFIG_PM).
    public var hasRuntimePowerManagement: Bool
    /// Whether vfio-pci binds devices without an IOMMU (CONFIG_VFIO_NOIOMMU, and the parameter
    /// `enable_unsafe_noiommu_mode` of the module vfio).
    public var hasUnsafeNoIOMMUMode: Bool
    /// Whether there is `/dev/kvm` with the kvm-vfio device (CONFIG_KVM, CONFIG_KVM_VFIO).
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

    /// Debian's 6.1: containers only.
    public static let linux6_1 = MockRelease(name: "6.1.0-50-amd64", generation: .linux6_1)
}

extension MockRelease: CustomStringConvertible {
    public var description: String { name }

    var follows6_1: Bool { generation == .linux6_1 }
}
