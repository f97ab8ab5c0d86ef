import Glibc

/// A machine with the lab's disk and its peers: the mock's, or a real one in the lab. What a test may know of the
/// difference is here.
protocol DiskMachine: Sendable {
    /// Who answers the system calls.
    var kernel: any Kernel { get }

    /// Fails when something is still open or mapped that was not at first.
    func expectNothingLeft(_ sourceLocation: SourceLocation)
}

extension DiskMachine {
    /// The disk: 64 MiB in blocks of 512 bytes.
    var disk: PCIAddress { "0000:00:04.0" }
    /// A device with 16 MiB of memory in BAR 2, without a reset.
    var memory: PCIAddress { "0000:00:03.0" }
    /// The same behind a port, so that its bus can be reset.
    var busMemory: PCIAddress { "0000:01:00.0" }
}

/// A kernel of the lab and one of its interfaces: what each test of the lab's suite is run for.
struct DiskScenario: Sendable, CustomTestStringConvertible {
    let interface: AddressSpace.Interface
    /// The name of the kernel in the lab; `nil` for the mock.
    let labKernel: String?

    var testDescription: String { "\(labKernel ?? "mock"), \(interface)" }

    private static var labName: String? { getenv("SWIFT_VFIO_LAB").map { String(cString: $0) } }

    static var all: [DiskScenario] {
        let name = labName
        let interfaces: [AddressSpace.Interface] = name == nil || name == "iommufd" ? [.iommufd, .type1] : [.type1]
        return interfaces.map { DiskScenario(interface: $0, labKernel: name) }
    }

    /// Those whose address spaces import dma-bufs.
    static var importing: [DiskScenario] { all.filter { $0.interface == .iommufd } }

    /// Runs a test on a machine of its own, and fails it when it leaves something behind.
    func run(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (any DiskMachine, AddressSpace) throws -> Void
    ) throws {
        let machine: any DiskMachine = labKernel == nil ? MockedDiskMachine.ofTheLab : RealDiskMachine()
        try body(machine, try AddressSpace(interface, kernel: machine.kernel))
        machine.expectNothingLeft(sourceLocation)
    }
}
