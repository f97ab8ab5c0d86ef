/// What a mock kernel offers: the release that it calls itself, and the features that come and go with releases and
/// configurations of Linux.
///
/// The presets are the kernels that the project's lab boots; the contract suite holds the mock to them. For anything
/// else, take the nearest one and change it:
/// ```swift
/// var release = MockRelease.iommufd
/// release.hasDMABuf = false
/// let machine = MockMachine(release)
/// ```
public struct MockRelease: Sendable, Hashable {
    /// What `/proc/sys/kernel/osrelease` says.
    public var name: String
    /// There are groups and containers: `/dev/vfio/vfio`, `/dev/vfio/NUMBER` (CONFIG_VFIO_GROUP, CONFIG_VFIO_CONTAINER).
    public var hasContainer: Bool
    /// There is `/dev/iommu` (CONFIG_IOMMUFD, since 6.2).
    public var hasIOMMUFD: Bool
    /// Devices have nodes of their own, `/dev/vfio/devices/vfioN` (CONFIG_VFIO_DEVICE_CDEV, since 6.6).
    public var hasDeviceNodes: Bool
    /// BARs can be exported as dma-bufs (CONFIG_VFIO_PCI_DMABUF, since 6.19).
    public var hasDMABuf: Bool
    /// `IOMMU_IOAS_MAP_FILE` takes memfds (since 6.13); dma-bufs as well when ``hasDMABuf`` is set.
    public var hasMapFile: Bool
    /// A range that wraps round is `EOVERFLOW` to a type1 container, as it is to iommufd; before, it was `EINVAL`.
    public var reportsOverflow: Bool
    /// The error interrupt (`VFIO_PCI_ERR_IRQ_INDEX`) is there for conventional PCI devices too.
    public var hasErrorInterruptForConventionalPCI: Bool
    /// MSI-X vectors can be added while others are on (since 6.5), so the kernel does not report NORESIZE for them.
    public var hasDynamicMSIX: Bool
    /// The device feature MIG_PRECOPY_INFOv2 has a number, though no device here offers it.
    public var knowsPrecopyInfo2: Bool

    public init(
        name: String,
        hasContainer: Bool,
        hasIOMMUFD: Bool,
        hasDeviceNodes: Bool,
        hasDMABuf: Bool,
        hasMapFile: Bool,
        reportsOverflow: Bool,
        hasErrorInterruptForConventionalPCI: Bool,
        hasDynamicMSIX: Bool,
        knowsPrecopyInfo2: Bool
    ) {
        self.name = name
        self.hasContainer = hasContainer
        self.hasIOMMUFD = hasIOMMUFD
        self.hasDeviceNodes = hasDeviceNodes
        self.hasDMABuf = hasDMABuf
        self.hasMapFile = hasMapFile
        self.reportsOverflow = reportsOverflow
        self.hasErrorInterruptForConventionalPCI = hasErrorInterruptForConventionalPCI
        self.hasDynamicMSIX = hasDynamicMSIX
        self.knowsPrecopyInfo2 = knowsPrecopyInfo2
    }

    /// Linux 7.3 with everything: containers, iommufd, device nodes, dma-bufs.
    public static let iommufd = MockRelease(
        name: "7.3.0", hasContainer: true, hasIOMMUFD: true, hasDeviceNodes: true, hasDMABuf: true, hasMapFile: true,
        reportsOverflow: true, hasErrorInterruptForConventionalPCI: true, hasDynamicMSIX: true, knowsPrecopyInfo2: true)

    /// Debian's 7.3.4: containers and dma-bufs, but neither iommufd nor device nodes.
    public static let stock = MockRelease(
        name: "7.3.4+deb13-amd64", hasContainer: true, hasIOMMUFD: false, hasDeviceNodes: false, hasDMABuf: true,
        hasMapFile: false, reportsOverflow: true, hasErrorInterruptForConventionalPCI: true, hasDynamicMSIX: true,
        knowsPrecopyInfo2: true)

    /// Debian's 6.1: containers, and nothing newer.
    public static let linux6_1 = MockRelease(
        name: "6.1.0-50-amd64", hasContainer: true, hasIOMMUFD: false, hasDeviceNodes: false, hasDMABuf: false,
        hasMapFile: false, reportsOverflow: false, hasErrorInterruptForConventionalPCI: false, hasDynamicMSIX: false,
        knowsPrecopyInfo2: false)
}
