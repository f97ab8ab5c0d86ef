/// What a test works with: a machine, its devices, and a kernel that keeps book of what was opened. At its end it fails a
/// test that left a descriptor or a mapping behind.
struct Bench: ~Copyable, Sendable {
    let scenario: Scenario
    let machine: any ContractMachine
    let ledger: Ledger
    /// The last of the properties, since it ends after the machine, and looks at the process then.
    private let process: ProcessWatch

    init(scenario: Scenario, _ makeMachine: () throws -> any ContractMachine, _ sourceLocation: SourceLocation) throws {
        process = ProcessWatch(sourceLocation)
        self.scenario = scenario
        machine = try makeMachine()
        ledger = Ledger(machine.kernel)
    }

    deinit { ledger.expectBalance(process.sourceLocation) }

    var kernel: any Kernel { ledger }
    var offer: Offer { scenario.offer }

    /// A device that does DMA on command, without a reset.
    let edu: PCIAddress = "0000:00:02.0"
    /// A device with 16 MiB of memory in BAR 2, without a reset.
    let memory: PCIAddress = "0000:00:03.0"
    /// A device with 4 MiB of memory in BAR 2 and an FLR.
    let nvme: PCIAddress = "0000:00:04.0"

    /// A device with 16 MiB of memory in BAR 2, behind a port, as the first function of a slot.
    let busMemory: PCIAddress = "0000:01:00.0"
    /// A device that does DMA on command, the second function of that slot, and of the same group.
    let busEdu: PCIAddress = "0000:01:00.1"

    /// A device that can have four virtual functions, behind a port of its own.
    let physicalFunction: PCIAddress = "0000:02:00.0"
    /// A network device with address translation services, behind a port of its own.
    let net: PCIAddress = "0000:03:00.0"
    /// A device that does DMA on command, and that no IOMMU serves.
    let noIOMMUEdu: PCIAddress = "0000:41:01.0"

    func makeNoIOMMUSpace() throws -> NoIOMMUAddressSpace {
        try NoIOMMUAddressSpace(scenario.interface, kernel: kernel)
    }

    func makeSpace() throws -> AddressSpace { try AddressSpace(scenario.interface, kernel: kernel) }

    // MARK: Faults

    /// Does something that the IOMMU has to refuse, and expects its report.
    ///
    /// The kernel prints three or four reports in five seconds and leaves out the others, so one that does not come is asked
    /// for again.
    func expectFault(
        _ direction: Fault.Direction, at iova: IOVA, by device: PCIAddress,
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) throws {
        let fault = Fault(direction, at: iova, by: device)
        let deadline = ContinuousClock.now + .seconds(12)
        repeat {
            try body()
            if try eventually(within: .milliseconds(200), { try machine.faults().contains(fault) }) { return }
        } while ContinuousClock.now < deadline
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
        try closeAll(window, device)
    }
}

/// Waits for a condition, but not for ever.
func eventually(within time: Duration = .seconds(2), _ condition: () throws -> Bool) throws -> Bool {
    let deadline = ContinuousClock.now + time
    while true {
        if try condition() { return true }
        if ContinuousClock.now > deadline { return false }
        pause()
    }
}
