/// Devices that the driver does not drive: it says why, writes nothing to them, and gives all back.
@Suite struct StrangeControllerTests {
    private func expectRefusal(
        _ expected: String, _ model: StrangeController, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let machine = MockMachine()
        machine.plug(model, at: "0000:00:04.0")
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: machine.kernel))
        do throws(NVMeError) {
            try Controller(device).close()
            Issue.record("it was driven", sourceLocation: sourceLocation)
        } catch { #expect(error == .unsupported(expected), "\(error)", sourceLocation: sourceLocation) }
        #expect(machine.openFiles == [], sourceLocation: sourceLocation)
    }

    /// A controller of another programming interface, a disk of another kind, a network card.
    @Test(arguments: [(0x010803, "10803"), (0x010601, "10601"), (0x020000, "20000")] as [(UInt32, String)])
    func anotherClassIsTurnedDown(_ classCode: UInt32, _ text: String) throws {
        try expectRefusal(
            "the NVMe class code, 0x10802: 0000:00:04.0 has 0x\(text), so it is no NVMe controller",
            StrangeController(classCode: classCode))
    }

    @Test func aDeviceThatDoesNotAnswerIsGone() throws {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: "0000:00:04.0")
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: machine.kernel))
        machine.setAnswering(false, at: "0000:00:04.0")
        do throws(NVMeError) {
            try Controller(device).close()
            Issue.record("it was driven")
        } catch { #expect(error == .gone) }
        #expect(machine.openFiles == [])
    }

    @Test func aBARWithoutDoorbellsIsTurnedDown() throws {
        try expectRefusal("a BAR 0 of at least 4104 bytes; it has 4096", StrangeController(registerByteCount: 4096))
    }

    @Test func doorbellsBeyondTheBARAreTurnedDown() throws {
        // CAP.DSTRD of 10: 4096 bytes from the first doorbell to the second.
        try expectRefusal(
            "doorbells of queue 0 inside of BAR 0: they end at 8196, and it has 8192 bytes",
            StrangeController(capabilities: 10 << 32))
    }

    @Test func pagesLargerThanTheHostsAreTurnedDown() throws {
        let pageSize = HostKernel().pageSize
        let shift = pageSize.trailingZeroBitCount - 12 + 1
        try expectRefusal(
            "memory pages of the host's \(pageSize) bytes; its smallest have \(2 * pageSize)",
            StrangeController(capabilities: UInt64(shift) << 48 | UInt64(shift) << 52))
    }
}
