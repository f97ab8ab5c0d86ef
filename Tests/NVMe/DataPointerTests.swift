@testable import NVMe

@Suite struct DataPointerTests {
    private static let listAddress: UInt64 = 0x7_0000_0800

    /// The entries of the list, up to the first that was not written, and the two of the command.
    private static func build(
        _ address: UInt64, _ byteCount: Int, pageShift: UInt64 = 12
    ) throws -> (pointer: DataPointer, list: [UInt64]) {
        let lists = try AddressSpace(kernel: MockMachine().kernel).allocate(byteCount: 8192)
        for offset in stride(from: 0, to: 8192, by: 8) { lists.write64(.max, at: offset) }
        let pointer = DataPointer(
            to: address, byteCount: UInt64(byteCount), pageSize: 1 << pageShift, lists: lists, at: 2048,
            listAddress: listAddress)
        let before = (0..<256).map { lists.read64(at: $0 * 8) }
        #expect(before.allSatisfy { $0 == .max }, "written in front of the list")
        let list = (256..<1024).map { lists.read64(at: $0 * 8) }
        let entries = Array(list.prefix { $0 != .max })
        #expect(list.dropFirst(entries.count).allSatisfy { $0 == .max }, "written behind the list")
        return (pointer, entries)
    }

    @Test(arguments: [(0x1000, 1), (0x1000, 512), (0x1000, 4096), (0x1ffc, 4), (0x1e00, 512), (0x1004, 4092)])
    func oneEntryForWhatEndsInThePage(_ address: UInt64, _ byteCount: Int) throws {
        let (pointer, list) = try Self.build(address, byteCount)
        #expect(pointer.first == address)
        #expect(pointer.second == 0)
        #expect(list == [])
    }

    @Test(arguments: [(0x1000, 4097), (0x1000, 8192), (0x1ffc, 8), (0x1ffc, 4100), (0x1004, 4096), (0x1e00, 4608)])
    func twoEntriesForWhatEndsInTheNext(_ address: UInt64, _ byteCount: Int) throws {
        let (pointer, list) = try Self.build(address, byteCount)
        #expect(pointer.first == address)
        #expect(pointer.second == 0x2000)
        #expect(list == [])
    }

    @Test(arguments: [
        (0x1000, 8193, 2), (0x1000, 12288, 2), (0x1000, 12289, 3), (0x1ffc, 4101, 2), (0x1ffc, 8196, 2),
        (0x1ffc, 8197, 3), (0x1004, 8189, 2), (0x1004, 131072, 32), (0x1000, 131072, 31), (0x1000, 2 << 20, 511),
        (0x1200, 2 << 20, 512),
    ]) func aListForMore(_ address: UInt64, _ byteCount: Int, _ entryCount: Int) throws {
        let (pointer, list) = try Self.build(address, byteCount)
        #expect(pointer.first == address)
        #expect(pointer.second == Self.listAddress)
        #expect(list == (0..<entryCount).map { 0x2000 + UInt64($0) * 4096 })
    }

    @Test func largerPages() throws {
        let one = try Self.build(0x1_0000, 65536, pageShift: 16)
        #expect(one.pointer.second == 0)
        let two = try Self.build(0x1_8000, 65536, pageShift: 16)
        #expect(two.pointer.second == 0x2_0000)
        let more = try Self.build(0x1_8000, 131072, pageShift: 16)
        #expect(more.list == [0x2_0000, 0x3_0000])
    }

    @Test func theEndOfTheAddresses() throws {
        let (pointer, list) = try Self.build(0xffff_ffff_ffff_c000, 12288)
        #expect(pointer.second == Self.listAddress)
        #expect(list == [0xffff_ffff_ffff_d000, 0xffff_ffff_ffff_e000])
    }
}
