@testable import NVMe

@Suite struct QueueMemoryTests {
    private func make(
        depth: Int = 4, transfer: Int = 131072, pageSize: Int = 4096, entries: Int = 65536
    ) throws -> QueueMemory {
        try QueueMemory(
            in: AddressSpace(kernel: MockMachine().kernel), depth: depth, maximumTransferByteCount: transfer,
            pageSize: pageSize, maximumEntryCount: entries)
    }

    @Test(arguments: [(1, 9), (131072, 9), (262144, 9), (266240, 10), (1 << 20, 11), (2 << 20, 12)])
    func aListHasRoomForAllPagesAndCrossesNone(_ transfer: Int, _ listShift: Int) throws {
        let memory = try make(transfer: transfer)
        let shift = memory.listShift
        #expect(shift == listShift)
        #expect(1 << shift >= (transfer + 4095) / 4096 * 8)
        let byteCount = memory.lists.byteCount
        #expect(byteCount >= 4 << shift)
    }

    @Test func oneEntryStaysFree() throws {
        let memory = try make(depth: 31)
        expectEqual([memory.submissionEntryCount, memory.completionEntryCount], [32, 64])
        let full = try make(depth: 31, entries: 32)
        expectEqual([full.submissionEntryCount, full.completionEntryCount], [32, 32])
    }

    private func refusal(depth: Int = 4, transfer: Int = 4096, pageSize: Int = 4096, entries: Int = 64) throws
        -> NVMeError?
    {
        let space = try AddressSpace(kernel: MockMachine().kernel)
        do throws(NVMeError) {
            let memory = try QueueMemory(
                in: space, depth: depth, maximumTransferByteCount: transfer, pageSize: pageSize,
                maximumEntryCount: entries)
            try? memory.close()
            return nil
        } catch { return error }
    }

    /// At 32768 the identifiers of a slot would no longer change from one command to the next.
    @Test func noMoreCommandsThanHalfOfTheIdentifiers() throws {
        let most = NVMeError.invalidArgument("a queue can have 1 to 32767 commands in flight, not 32768")
        #expect(try refusal(depth: 32768, entries: 65536) == most)
        #expect(try refusal(depth: 32767, entries: 65536) == nil)
    }

    @Test func refusesWhatCannotBe() throws {
        #expect(try refusal() == nil)
        let few = NVMeError.invalidArgument("a queue can have 1 to 63 commands in flight, not 0")
        #expect(try refusal(depth: 0) == few)
        #expect(try refusal(depth: 64) == .invalidArgument("a queue can have 1 to 63 commands in flight, not 64"))
        #expect(try refusal(transfer: 0) == .invalidArgument("a command can move 1 to 2097152 bytes, not 0"))
        #expect(
            try refusal(transfer: 2_097_153) == .invalidArgument("a command can move 1 to 2097152 bytes, not 2097153"))
        #expect(
            try refusal(pageSize: 512)
                == .invalidArgument("a memory page is a power of two of at least 4096 bytes, not 512"))
    }
}
