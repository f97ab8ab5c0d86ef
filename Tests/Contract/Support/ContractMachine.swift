/// A kernel with the lab's devices: a real one in QEMU, or the mock. What a test may know of the difference is here.
protocol ContractMachine: Sendable {
    /// Who answers the system calls.
    var kernel: any Kernel { get }

    /// The kernel is built for tests of iommufd, and makes devices up (`IOMMU_TEST_CMD`).
    var makesUpDevices: Bool { get }

    /// The DMA accesses that the IOMMU has refused since the machine was made.
    func faults() throws -> Set<Fault>

    /// Lets a device behind a port stop answering, as one that has lost its link, or answer again.
    func setAnswering(_ isAnswering: Bool, at device: PCIAddress) throws
}

/// A DMA access that the IOMMU refused, as far as both the kernel's log and the mock tell: by page.
struct Fault: Hashable, Sendable, CustomStringConvertible {
    enum Direction: String, Sendable { case read, write }

    let direction: Direction
    let page: UInt64
    let device: PCIAddress

    init(_ direction: Direction, at iova: IOVA, by device: PCIAddress) {
        self.direction = direction
        self.page = iova.rawValue & ~0xfff
        self.device = device
    }

    var description: String { "\(direction) of \(IOVA(page)) by \(device)" }
}

/// What a kernel has, as a fact about it that the tests check: never a reason to leave a test out.
struct Offer: Sendable {
    /// The name of the kernel in the lab.
    let name: String
    /// `/dev/iommu`, and a node for each device.
    let hasIOMMUFD: Bool
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`.
    let hasDMABuf: Bool
    /// Vectors of MSI-X can be added one by one (Linux 6.5).
    let hasDynamicMSIX: Bool
    /// A range that wraps is EOVERFLOW to type1, and not EINVAL.
    let reportsOverflow: Bool
    /// A device cannot read what is mapped for writing only: so with the page tables of newer kernels for Intel's IOMMU.
    let refusesReadsOfWriteOnly: Bool
    /// The error interrupt is there for devices of conventional PCI too.
    let hasErrorInterrupt: Bool
    /// An idle device is suspended, and an access wakes it (CONFIG_PM).
    let suspendsIdleDevices: Bool

    /// Mediated devices can be made: the kernel's sample driver mtty is loaded.
    let hasMediatedDevices: Bool
    /// `/dev/kvm`.
    let hasKVM: Bool

    static let iommufd = Offer(
        name: "iommufd", hasIOMMUFD: true, hasDMABuf: true, hasDynamicMSIX: true, reportsOverflow: true,
        refusesReadsOfWriteOnly: true, hasErrorInterrupt: true, suspendsIdleDevices: true, hasMediatedDevices: true,
        hasKVM: true)
    static let stock = Offer(
        name: "stock", hasIOMMUFD: false, hasDMABuf: true, hasDynamicMSIX: true, reportsOverflow: true,
        refusesReadsOfWriteOnly: true, hasErrorInterrupt: true, suspendsIdleDevices: true, hasMediatedDevices: false,
        hasKVM: false)
    static let release612 = Offer(
        name: "6.12", hasIOMMUFD: false, hasDMABuf: false, hasDynamicMSIX: true, reportsOverflow: false,
        refusesReadsOfWriteOnly: false, hasErrorInterrupt: false, suspendsIdleDevices: true, hasMediatedDevices: false,
        hasKVM: false)
    static let release61 = Offer(
        name: "6.1", hasIOMMUFD: false, hasDMABuf: false, hasDynamicMSIX: false, reportsOverflow: false,
        refusesReadsOfWriteOnly: false, hasErrorInterrupt: false, suspendsIdleDevices: true, hasMediatedDevices: false,
        hasKVM: false)

    static let all = [iommufd, stock, release612, release61]
}
