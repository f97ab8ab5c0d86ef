@Suite struct RegisterBankTests {
    private static let edu: PCIAddress = "0000:00:02.0"

    private static func makeMachine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: edu)
        return machine
    }

    @Test func theFirstRefusedAccessIsToldOnce() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        let bank = try device.makeRegisterBank(of: .bar0)
        machine.failNextCall(.pread, with: .ioError)
        #expect(bank.read32(at: 0) == .max)
        machine.failNextCall(.pwrite, with: .noMemory)
        bank.write32(1, at: 4)
        let error = #expect(throws: VFIOError.self) { try bank.check() }
        #expect(error?.errno == .ioError)
        #expect(error?.operation == "read at 0x0 (pread)")
        #expect(error?.subject == "BAR 0 of 0000:00:02.0")
        try bank.check()
        #expect(bank.read32(at: 0) == 0x0100_00ed)
        try bank.check()
    }

    @Test func theEndTellsWhatNobodyAskedFor() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        let error = #expect(throws: VFIOError.self) { try Self.failAndClose(device, machine) }
        #expect(error?.errno == .permissionDenied)
        // Closed all the same.
        try device.close()
        #expect(machine.openFiles.isEmpty)
    }

    private static func failAndClose(_ device: borrowing Device, _ machine: MockMachine) throws {
        let bank = try device.makeRegisterBank(of: .bar0)
        machine.failNextCall(.pwrite, with: .permissionDenied)
        bank.write32(1, at: 4)
        try bank.close()
    }

    @Test(arguments: [8, 16, 32, 64]) func everyWidthGoesThroughTheKernelWhereNothingIsMapped(_ bits: Int) throws {
        let machine = MockMachine()
        machine.plug(ScratchModel(), at: Self.edu)
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        let bank = try device.makeRegisterBank(of: .bar0)
        let value: UInt64 = 0xfedc_ba98_7654_3210
        switch bits {
        case 8: bank.write8(UInt8(truncatingIfNeeded: value), at: 8)
        case 16: bank.write16(UInt16(truncatingIfNeeded: value), at: 8)
        case 32: bank.write32(UInt32(truncatingIfNeeded: value), at: 8)
        default: bank.write64(value, at: 8)
        }
        let expected = bits == 64 ? value : value & ((1 << UInt64(bits)) - 1)
        #expect(bank.read64(at: 8) == expected)
        #expect(bank.registers.read8(at: 8) == UInt8(truncatingIfNeeded: expected))
        #expect(bank.readAcquiring16(at: 8) == UInt16(truncatingIfNeeded: expected))
        #expect(bank.readAcquiring32(at: 8) == UInt32(truncatingIfNeeded: expected))
        try bank.check()
    }

    /// One register of 64 bits at 8.
    private struct ScratchModel: MockDevice {
        let pci = MockPCIFunction(vendor: 0x1234, device: 1, bars: [0: .registers(4096)])
        var value: UInt64 = 0

        mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { value }

        mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
            self.value = value
        }
    }
}
