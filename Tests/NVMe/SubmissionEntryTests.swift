@testable import NVMe

@Suite struct SubmissionEntryTests {
    @Test func theBytesAreThoseOfTheSpecification() throws {
        let memory = try AddressSpace(kernel: MockMachine().kernel).allocate(byteCount: 4096)
        for offset in stride(from: 0, to: 4096, by: 8) { memory.write64(.max, at: offset) }
        let entry = SubmissionEntry(
            opcode: 0x02, namespace: 0x0403_0201, data: 0x1817_1615_1413_1211, moreData: 0x2827_2625_2423_2221,
            dwords10And11: 0x3837_3635_3433_3231, dwords12And13: 0x4847_4645_4443_4241,
            dwords14And15: 0x5857_5655_5453_5251)
        entry.store(to: memory, at: 128, as: 0xbeef)
        let bytes = memory.bytes(at: 64, count: 192)
        let expected: [UInt8] =
            [0x02, 0, 0xef, 0xbe, 1, 2, 3, 4] + [UInt8](repeating: 0, count: 16)
            + (0x11...0x18) + (0x21...0x28) + (0x31...0x38) + (0x41...0x48) + (0x51...0x58)
        #expect(Array(bytes[64..<128]) == expected)
        #expect(bytes[..<64].allSatisfy { $0 == 0xff } && bytes[128...].allSatisfy { $0 == 0xff })
    }
}
