@testable import VFIO

/// Memory that is shared with a device, against plain arrays.
@Suite struct VolatileMemoryTests {
    private static func buffer(byteCount: Int = 4096) throws -> DMABuffer {
        try AddressSpace(.iommufd, kernel: ScriptedKernel.machine()).allocate(byteCount: byteCount)
    }

    @Test(arguments: 0...15) func copiesAgreeWithAModel(_ offset: Int) throws {
        let buffer = try Self.buffer()
        let source = (0..<64).map { UInt8($0 + 100) }
        for length in 0...40 {
            for skipped in [0, 1, 7] {
                var model = [UInt8](repeating: 0xee, count: 80)
                for index in model.indices { buffer.write8(0xee, at: index) }
                buffer.copy(source.span.extracting(skipped..<(skipped + length)), to: offset)
                model.replaceSubrange(offset..<(offset + length), with: source[skipped..<(skipped + length)])
                #expect(model.indices.map { buffer.read8(at: $0) } == model, "\(length) bytes at \(offset)")
            }
        }
    }

    @Test(arguments: 0...15) func bytesAgreeWithAModel(_ offset: Int) throws {
        let buffer = try Self.buffer()
        let model = (0..<80).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for (index, byte) in model.enumerated() { buffer.write8(byte, at: index) }
        for length in 0...40 {
            #expect(buffer.bytes(at: offset, count: length) == Array(model[offset..<(offset + length)]))
        }
    }

    @Test func copiesReachTheEnds() throws {
        let buffer = try Self.buffer()
        let all = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        buffer.copy(all.span)
        #expect(buffer.bytes(count: 4096) == all)
        buffer.copy([1, 2, 3].span, to: 4093)
        #expect(buffer.bytes(at: 4090, count: 6) == Array(all[4090..<4093]) + [1, 2, 3])
        let none: [UInt8] = []
        buffer.copy(none.span, to: 4096)
        #expect(buffer.bytes(at: 4096, count: 0) == [])
    }

    @Test func valuesAreLittleEndian() throws {
        let buffer = try Self.buffer()
        buffer.write64(0x0807_0605_0403_0201, at: 8)
        #expect(buffer.bytes(at: 8, count: 8) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(buffer.read32(at: 12) == 0x0807_0605)
        #expect(buffer.read16(at: 14) == 0x0807)
        buffer.writeReleasing32(0x1122_3344, at: 0)
        buffer.writeReleasing64(5, at: 16)
        #expect(buffer.readAcquiring32(at: 0) == 0x1122_3344)
        #expect(buffer.readAcquiring64(at: 16) == 5)
        buffer.write8(0xff, at: 4095)
        #expect(buffer.read64(at: 4088) == 0xff00_0000_0000_0000)
    }

    /// One function for owners and for views.
    private static func fill(_ memory: borrowing some VolatileMemory & ~Copyable & ~Escapable, _ byte: UInt8) {
        for offset in 0..<memory.byteCount { memory.write8(byte, at: offset) }
    }

    @Test func theViewAndItsOwnerAreTheSameMemory() throws {
        let buffer = try Self.buffer()
        Self.fill(buffer, 1)
        #expect(buffer.memory.bytes(count: 4096).allSatisfy { $0 == 1 })
        Self.fill(buffer.memory, 2)
        #expect(buffer.bytes(count: 4096).allSatisfy { $0 == 2 })
        #expect(buffer.memory.byteCount == buffer.byteCount)
        let device = try Device(
            at: ScriptedKernel.address, in: try AddressSpace(.iommufd, kernel: ScriptedKernel.machine()))
        let region = try device.map(.bar0, 4096..<8192)
        Self.fill(region, 3)
        #expect(region.memory.bytes(count: 4096) == region.bytes(count: 4096))
        #expect(region.read64(at: 4088) == 0x0303_0303_0303_0303)
    }

    @Test func aPartIsTheSameMemory() throws {
        let buffer = try Self.buffer()
        buffer.extracting(16..<32).write32(7, at: 4)
        #expect(buffer.read32(at: 20) == 7)
        #expect(buffer.extracting(16..<32).byteCount == 16)
        #expect(buffer.memory.extracting(8..<4096).extracting(8..<24).read32(at: 4) == 7)
        #expect(buffer.extracting(4096..<4096).byteCount == 0)
        Self.fill(buffer.extracting(4088..<4096), 9)
        #expect(buffer.bytes(at: 4080, count: 16) == [0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9])
    }

    /// What must stop the program, by its number, since an exit test takes no closures.
    private static func stop(_ number: Int, _ buffer: borrowing DMABuffer) {
        let none: [UInt8] = []
        switch number {
        case 0: _ = buffer.read8(at: 4096)
        case 1: _ = buffer.read8(at: -1)
        case 2: _ = buffer.read16(at: 1)
        case 3: _ = buffer.read32(at: 4094)
        case 4: buffer.write64(0, at: 4)
        case 5: buffer.write64(0, at: 4096)
        case 6: buffer.write32(0, at: .min)
        case 7: _ = buffer.read64(at: .max - 7)
        case 8: buffer.copy([1, 2].span, to: 4095)
        case 9: buffer.copy(none.span, to: 4097)
        case 10: buffer.copy([1].span, to: -1)
        case 11: _ = buffer.bytes(at: 0, count: 4097)
        case 12: _ = buffer.bytes(at: 1, count: .max)
        case 13: _ = buffer.bytes(at: 0, count: -1)
        case 14: _ = buffer.bytes(at: .max, count: 1)
        case 15: _ = buffer.readAcquiring32(at: 2)
        case 16: buffer.extracting(4088..<4104).write8(0, at: 0)
        case 17: buffer.extracting(-8..<8).write8(0, at: 0)
        case 18: buffer.extracting(4..<12).write8(0, at: 0)
        case 19: buffer.extracting(0..<16).write8(0, at: 16)
        default: buffer.memory.extracting(8..<24).extracting(8..<24).write8(0, at: 0)
        }
    }

    @Test(arguments: 0...20) func anAccessOutsideStopsTheProgram(_ number: Int) async {
        await #expect(processExitsWith: .failure) { [number] in
            // If this failed, the process would fail for another reason than the one looked for.
            guard let buffer = try? Self.buffer() else { return }
            Self.stop(number, buffer)
        }
    }
}
