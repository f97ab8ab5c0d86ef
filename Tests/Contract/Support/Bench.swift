import SystemPackage
import Testing
import VFIO

/// What a test works with: a machine, its devices, and a kernel that keeps book of what was opened.
struct Bench: Sendable {
    let scenario: Scenario
    let machine: any ContractMachine
    let ledger: Ledger

    init(scenario: Scenario, machine: any ContractMachine) {
        self.scenario = scenario
        self.machine = machine
        self.ledger = Ledger(machine.kernel)
    }

    var kernel: any Kernel { ledger }
    var offer: Offer { scenario.offer }

    /// A device that does DMA on command, without a reset.
    let edu: PCIAddress = "0000:00:02.0"
    /// A device with 16 MiB of memory in BAR 2, without a reset.
    let memory: PCIAddress = "0000:00:03.0"
    /// A device with 4 MiB of memory in BAR 2 and an FLR.
    let nvme: PCIAddress = "0000:00:04.0"

    func makeSpace() throws -> AddressSpace { try AddressSpace(scenario.interface, kernel: kernel) }

    // MARK: Faults

    /// Does something that the IOMMU has to refuse, and expects its report.
    ///
    /// The kernel prints no more than ten reports in five seconds, so a report that does not come is asked for again.
    func expectFault(
        _ direction: Fault.Direction, at iova: IOVA, by device: PCIAddress,
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) throws {
        let fault = Fault(direction, at: iova, by: device)
        for _ in 0..<3 {
            try body()
            if try eventually({ try machine.faults().contains(fault) }) { return }
        }
        Issue.record("no \(fault); there were \(try machine.faults())", sourceLocation: sourceLocation)
    }

    // MARK: What a kernel lacks

    /// What export is refused with where the kernel has none.
    func expectNoExport(_ sourceLocation: SourceLocation) throws {
        let space = try makeSpace()
        let device = try Device(at: nvme, in: space)
        #expect(try device.supports(.dmaBuf) == false, sourceLocation: sourceLocation)
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice, sourceLocation: sourceLocation) {
            _ = try device.exportDMABuf(of: .bar2, 0..<4096)
        }
        try device.close()
    }

    /// What import is refused with by a type1 container.
    func expectNoImport(_ sourceLocation: SourceLocation) throws {
        let space = try makeSpace()
        let device = try Device(at: nvme, in: space)
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        expectRefusal(.unsupported, nil, sourceLocation: sourceLocation) { _ = try space.map(window) }
        try window.close()
        try device.close()
    }
}

/// Waits for a condition, for at most two seconds.
func eventually(_ condition: () throws -> Bool) throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(2)
    while true {
        if try condition() { return true }
        if ContinuousClock.now > deadline { return false }
        pause()
    }
}
