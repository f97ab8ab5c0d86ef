/// Devices that stop answering. Not in the lab: Linux waits a minute for a reset, and after an open of a silent device it
/// restores the ones that it has saved.
@Suite struct SilentDeviceTests {
    private let machine = MockMachine()

    init() {
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        machine.plug(EduModel(), at: "0000:00:02.0")
    }

    private func expectGone(_ sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
        let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation) { try body() }
        #expect(error?.code == .deviceGone, sourceLocation: sourceLocation)
    }

    @Test(arguments: [AddressSpace.Interface.type1, .iommufd])
    func aDeviceThatDoesNotAnswerIsNotOpened(_ interface: AddressSpace.Interface) throws {
        let space = try AddressSpace(interface, kernel: machine.kernel)
        machine.setAnswering(false, at: "0000:00:02.0")
        let error = #expect(throws: VFIOError.self) { _ = try Device(at: "0000:00:02.0", in: space) }
        #expect(
            error?.description
                == "cannot open the device for 0000:00:02.0: it does not answer (all ones): it was removed, lost its power "
                + "or its link, or did not come back from a reset or low power")
        #expect(error?.code == .deviceGone)
        machine.setAnswering(true, at: "0000:00:02.0")
        let device = try Device(at: "0000:00:02.0", in: space)
        #expect(try device.isPresent())
        try device.close()
    }

    @Test func aResetAfterWhichTheDeviceDoesNotAnswerSaysSo() throws {
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: machine.kernel))
        machine.setAnswering(false, at: "0000:00:04.0")
        expectGone { try device.reset() }
        // The reason to reset it may be that it does not answer.
        machine.setAnswering(true, at: "0000:00:04.0")
        try device.reset()
        #expect(try device.isPresent())
    }

    @Test func readsOfRegistersThatAreNotMappedAreChecked() throws {
        let device = try Device(at: "0000:00:02.0", in: AddressSpace(kernel: machine.kernel))
        let bank = try device.makeRegisterBank(of: .bar0)
        #expect(bank.read32(at: 0) == 0x0100_00ed)
        machine.setAnswering(false, at: "0000:00:02.0")
        #expect(bank.read32(at: 0) == .max)
        expectGone { try bank.check() }
        expectGone { try device.withRegisters(.bar0) { _ = $0.read32(at: 0) } }
        machine.setAnswering(true, at: "0000:00:02.0")
        #expect(bank.read32(at: 0) == 0x0100_00ed)
        try bank.check()
    }

    /// Also if the look at the device finds no device at all.
    @Test func aReadOfADeviceThatIsNotThereIsAFailure() throws {
        let device = try Device(at: "0000:00:02.0", in: AddressSpace(kernel: machine.kernel))
        let bank = try device.makeRegisterBank(of: .bar0)
        machine.setAnswering(false, at: "0000:00:02.0")
        machine.failNextCall(.pread, with: .operationNotSupportedByDevice, skipping: 1)
        #expect(bank.read32(at: 0) == .max)
        expectGone { try bank.check() }
        #expect(machine.pendingFailureCount == 0)
    }

    @Test func aMappingOfItsMemoryIsNotRestored() throws {
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let device = try Device(at: "0000:00:04.0", in: space)
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        machine.setAnswering(false, at: "0000:00:04.0")
        #expect(try device.isPresent() == false)
        #expect(peer.state == .revoked && window.state == .revoked)
        expectGone { try device.reset() }
        expectGone { try peer.restore() }
        expectGone { _ = try space.map(window) }
        machine.setAnswering(true, at: "0000:00:04.0")
        #expect(try device.isPresent())
        try peer.restore()
        #expect(peer.state == .live)
    }
}
