@testable import NVMe

@Suite struct SlotTableTests {
    @Test(arguments: [1, 2, 3, 64, 1000, 32767])
    func eachSlotOnce(_ depth: Int) {
        var table = SlotTable(depth: depth)
        var seen: Set<UInt16> = []
        while let slot = table.take() { seen.insert(slot) }
        #expect(seen == Set((0..<depth).map(UInt16.init)))
        expectEqual(table.usedCount, depth)
        for slot in seen {
            expectEqual(table.finish(table.identifier(of: slot)), slot)
        }
        expectEqual(table.usedCount, 0)
    }

    /// FFFFh stands for no command in the error log, so no command is to have it.
    @Test(arguments: [1, 2, 3, 4, 31, 32, 64, 255, 256, 1000, 16384, 32767])
    func noIdentifierIsAllOnes(_ depth: Int) {
        var table = SlotTable(depth: depth)
        var free: [UInt16] = []
        while let slot = table.take() { free.append(slot) }
        let counts = 1 << (16 - (Int.bitWidth - depth.leadingZeroBitCount))
        var identifiers: Set<UInt16> = []
        for slot in free {
            // The only one that is free, so it is taken with each of the counts.
            var isFound = table.finish(table.identifier(of: slot)) == slot
            for _ in 0..<counts {
                let isTaken = table.take() == slot
                let identifier = table.identifier(of: slot)
                identifiers.insert(identifier)
                isFound = isFound && isTaken && table.finish(identifier) == slot
            }
            isFound = isFound && table.take() == slot
            #expect(isFound)
        }
        #expect(identifiers.count == depth * counts)
        #expect(!identifiers.contains(0xffff))
    }

    @Test func anIdentifierIsGoodOnce() {
        var table = SlotTable(depth: 8)
        let slot = table.take()!
        let first = table.identifier(of: slot)
        expectEqual([table.finish(first), table.finish(first)], [slot, nil])
        // The slot again, and not the identifier.
        expectEqual(table.take(), slot)
        let second = table.identifier(of: slot)
        #expect(second != first)
        expectEqual([table.finish(first), table.finish(0xffff), table.finish(second)], [nil, nil, slot])
    }

    @Test func whatTheDriverEndsIsGivenOutOnce() {
        var table = SlotTable(depth: 4)
        var slots: [UInt16] = []
        for _ in 0..<3 { slots.append(table.take()!) }
        let identifier = table.identifier(of: slots[1])
        table.end(Completion(command: CommandID(rawValue: slots[1]), status: .success, result: 7))
        expectEqual(table.finish(identifier), nil)
        table.endAll(.aborted)
        expectEqual(table.usedCount, 3)
        var ends: [UInt16: CommandStatus] = [:]
        while let completion = table.takeEnded() { ends[completion.command.rawValue] = completion.status }
        #expect(ends == [slots[0]: .aborted, slots[1]: .success, slots[2]: .aborted])
        expectEqual(table.usedCount, 0)
    }

    @Test func theOldestSubmission() {
        var table = SlotTable(depth: 4)
        var oldest = [table.oldestSubmission]
        let first = table.take()!
        _ = table.take()!
        oldest.append(table.oldestSubmission)
        _ = table.finish(table.identifier(of: first))
        oldest.append(table.oldestSubmission)
        _ = table.take()
        oldest.append(table.oldestSubmission)
        #expect(oldest == [nil, 1, 2, 2])
    }
}
