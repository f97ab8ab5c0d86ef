import Glibc

@testable import VFIO

/// Registers in BARs, whether they are mapped or not.
extension Contract.RegisterTests {
    @Test("the device's registers answer", arguments: Scenario.all)
    func edu(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        #expect(try edu.identification() == 0x0100_00ed)
        #expect(try edu.liveness(0x1234_5678) == ~0x1234_5678)
        #expect(try edu.factorial(of: 5) == 120)
        #expect(try edu.factorial(of: 12) == 479_001_600)
        try edu.close()
    }

    @Test("accesses of every width reach memory in a BAR", arguments: Scenario.all)
    func widths(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let size = try device.region(.bar2).byteCount
        try device.withRegisters(.bar2) { registers in
            #expect(registers.byteCount == Int(size))
            registers.write64(0x1122_3344_5566_7788, at: 0)
            let bytes = (0..<8).map { registers.read8(at: $0) }
            #expect(bytes == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
            #expect(registers.read16(at: 2) == 0x5566)
            #expect(registers.read32(at: 4) == 0x1122_3344)
            registers.write8(0xaa, at: 1)
            registers.write16(0xbbbb, at: 2)
            registers.write32(0xcccc_cccc, at: 4)
            #expect(registers.read64(at: 0) == 0xcccc_cccc_bbbb_aa88)
            registers.write32(7, at: Int(size) - 4)
            #expect(registers.read32(at: Int(size) - 4) == 7)
        }
        try device.close()
    }

    @Test("an access that a guest has chosen is refused, and traps nowhere", arguments: Scenario.all)
    func checkedAccesses(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let size = try device.region(.bar2).byteCount
        let bank = try device.makeRegisterBank(of: .bar2)
        try bank.write(0x1122_3344_5566_7788, at: 8, width: 8)
        for (width, value) in [(1, 0x88), (2, 0x7788), (4, 0x5566_7788), (8, 0x1122_3344_5566_7788)]
            as [(Int, UInt64)]
        {
            #expect(try bank.read(at: 8, width: width) == value)
        }
        // The mapped registers are the same.
        #expect(bank.read64(at: 8) == 0x1122_3344_5566_7788)
        expectRefusal(.misaligned) { _ = try bank.read(at: 2, width: 4) }
        expectRefusal(.invalidArgument) { _ = try bank.read(at: 0, width: 3) }
        expectRefusal(.outOfRange) { _ = try bank.read(at: size, width: 4) }
        expectRefusal(.outOfRange) { try bank.write(0, at: .max & ~7, width: 8) }
        // Where a load would be SIGBUS.
        try device.setMemoryDecode(false)
        expectRefusal(.kernel, .ioError) { _ = try bank.read(at: 0, width: 4) }
        expectRefusal(.kernel, .ioError) { try bank.write(0, at: 0, width: 4) }
        try device.setMemoryDecode(true)
        try bank.close()
        try device.close()
    }

    @Test("a BAR smaller than a page is reached too", arguments: Scenario.all)
    func small(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let count = try device.withRegisters(.bar0) { registers in
            _ = registers.read32(at: 0)
            _ = registers.read32(at: 252)
            return registers.byteCount
        }
        #expect(count == 256)
        try device.close()
    }

    @Test("memory by pread and pwrite, by registers and by mmap is the same", arguments: Scenario.all)
    func sameMemory(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let bar = try device.map(.bar2)
        let region = try device.region(.bar2)
        bar.fill([1, 2, 3, 4], at: 0x1000)
        var bytes: [UInt8] = [0, 0, 0, 0]
        var count = try bytes.withUnsafeMutableBytes {
            try bench.kernel.read(device.core.descriptor, at: region.offset + 0x1000, into: $0)
        }
        #expect(count == 4)
        #expect(bytes == [1, 2, 3, 4])
        bytes = [5, 6, 7, 8]
        count = try bytes.withUnsafeBytes {
            try bench.kernel.write(device.core.descriptor, at: region.offset + 0x2000, from: $0)
        }
        #expect(count == 4)
        bar.expect([5, 6, 7, 8], at: 0x2000)
        let register = try device.withRegisters(.bar2) { $0.read32(at: 0x2000) }
        #expect(register == 0x0807_0605)
        try closeAll(bar, device)
    }

    @Test("with memory decode off, pread and pwrite of a BAR are EIO", arguments: Scenario.all)
    func decodeOff(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let region = try device.region(.bar2)
        try device.setMemoryDecode(false)
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        var bytes: [UInt8] = [0, 0, 0, 0]
        expectErrno(.ioError) {
            try bytes.withUnsafeMutableBytes { try kernel.read(descriptor, at: region.offset, into: $0) }
        }
        expectErrno(.ioError) {
            try bytes.withUnsafeBytes { try kernel.write(descriptor, at: region.offset, from: $0) }
        }
        try device.setMemoryDecode(true)
        #expect(try bytes.withUnsafeMutableBytes { try kernel.read(descriptor, at: region.offset, into: $0) } == 4)
        try device.close()
    }

    @Test("a bank of registers keeps the device open, and tells what was refused", arguments: Scenario.all)
    func bank(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let bank = try device.makeRegisterBank(of: .bar0)
        #expect(bank.index == .bar0)
        #expect(bank.byteCount == 1 << 20)
        #expect(bank.read32(at: 0) == 0x0100_00ed)
        bank.write32(0x1234_5678, at: 4)
        #expect(bank.read32(at: 4) == ~0x1234_5678)
        try bank.check()
        // Another one reaches the same registers, and each ends by itself.
        let other = try device.makeRegisterBank(of: .bar0)
        #expect(other.read32(at: 4) == ~0x1234_5678)
        try other.close()
        do throws(VFIOError) {
            try device.close()
            Issue.record("the device was closed under its registers")
        } catch {
            #expect(error.code == .inUse)
            #expect("\(error)".contains("still alive: the registers of BAR 0"), "\(error)")
        }
        #expect(bank.read32(at: 0) == 0x0100_00ed)
        try bank.close()
    }

    @Test("a bank is refused where registers are", arguments: Scenario.all)
    func bankRefusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        expectRefusal(.notFound) { try takeBank(.bar1, device) }
        expectRefusal(.invalidArgument) { try takeBank(.config, device) }
        try device.setMemoryDecode(false)
        expectRefusal(.memoryDecodeOff) { try takeBank(.bar2, device) }
        try device.setMemoryDecode(true)
        try device.close()
    }

    @Test("registers that are not there are refused", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        expectRefusal(.notFound) { try device.withRegisters(.bar1) { _ in } }
        expectRefusal(.notFound) { try device.withRegisters(.rom) { _ in } }
        expectRefusal(.notFound) { try device.withRegisters(RegionIndex(rawValue: 20)) { _ in } }
        try device.close()
    }

    @Test("a touch of a mapped BAR while memory decode is off ends the process", arguments: Scenario.all)
    func busError(_ scenario: Scenario) async throws {
        await #expect(processExitsWith: .signal(SIGBUS)) { [scenario = scenario as Scenario] in
            let bench = try scenario.makeBench()
            let device = try Device(at: bench.memory, in: bench.makeSpace())
            let bar = try device.map(.bar2)
            bar.fill([1])
            try device.setMemoryDecode(false)
            _ = bar.bytes(count: 1)
            try closeAll(bar, device)
        }
    }

    private func takeBank(_ index: RegionIndex, _ device: borrowing Device) throws(VFIOError) {
        try device.makeRegisterBank(of: index).close()
    }
}
