@Suite("NVMe model: reading and writing")
struct NVMeModelIOTests {
    typealias Status = NVMeModel.Status

    private func disk(_ host: NVMeHost, _ block: UInt64, _ count: Int = 1) -> [UInt8] {
        host.withModel { model, _ in model.disk.bytes(at: block, blockCount: count) }
    }

    @Test(arguments: [512, 4096])
    func blocksGoThereAndBack(blockByteCount: Int) throws {
        let host = try NVMeHost(NVMeModel(blockCount: 1000, blockByteCount: blockByteCount, doorbellStride: 1))
            .started()
        let bytes = NVMeHost.pattern(blockByteCount)
        host.memory.copy(bytes, to: NVMeHost.data)
        #expect(host.run(1, block: 999) == .success)
        #expect(disk(host, 999) == bytes)
        #expect(disk(host, 998).allSatisfy { $0 == 0 })
        #expect(host.run(2, block: 999, prp1: host.iova(NVMeHost.data + 0x4000)) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data + 0x4000, count: blockByteCount) == bytes)
        #expect(host.run(1, 0, namespace: 1).status == .success)
        #expect(host.run(1, 0, namespace: .max).status == .success)
        host.withModel { model, _ in model.disk.setBytes(NVMeHost.pattern(blockByteCount, seed: 9), at: 7) }
        #expect(host.run(2, block: 7) == .success)
        #expect(
            host.memory.bytes(at: NVMeHost.data, count: blockByteCount) == NVMeHost.pattern(blockByteCount, seed: 9))
        let statistics = host.withModel { model, _ in model.statistics }
        #expect(statistics.readByteCount == UInt64(2 * blockByteCount))
        #expect(statistics.writtenByteCount == UInt64(blockByteCount))
        #expect(statistics.submissionDoorbellWrites[1] == 5)
        #expect(statistics.completionDoorbellWrites[1] == 5)
        #expect(statistics.invalidDoorbellWrites == 0)
    }

    /// PRP1 with an offset, PRP2 as a page, and PRP2 as a list that goes on in another one.
    @Test(arguments: [0, 512, 4092])
    func prpsLeadWhereTheySay(offset: Int) throws {
        let host = try NVMeHost().started()
        let page = NVMeHost.data
        // Two pages that are apart.
        let bytes = NVMeHost.pattern(4096, seed: 3)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 0) }
        #expect(
            host.run(2, block: 0, count: 8, prp1: host.iova(page + offset), prp2: host.iova(page + 0x3000))
                == .success)
        let head = 4096 - offset
        #expect(
            host.memory.bytes(at: page + offset, count: head) + host.memory.bytes(at: page + 0x3000, count: offset)
                == bytes)
    }

    @Test(arguments: [(0, 0), (0x200, 0xff0), (4, 0), (0, 0xff8)])
    func listsMayBeginAnywhereAndGoOn(offset: Int, listOffset: Int) throws {
        let host = try NVMeHost().started()
        // 512 KiB, in pages that come in the reverse order.
        let count = 512 << 10
        let pages = 129
        func page(_ number: Int) -> Int { 0x100000 + (pages - number) * 4096 }
        var entries = (1..<pages).map { host.iova(page($0)) }
        if offset == 0 { entries.removeLast() }
        // The list begins in one page and goes on in the other.
        let list = NVMeHost.data + 0x1000 + listOffset
        let room = (4096 - listOffset) / 8
        if entries.count > room {
            let next = NVMeHost.data + 0x3000
            for (index, entry) in entries[..<(room - 1)].enumerated() {
                host.memory.write64(entry, at: list + index * 8)
            }
            host.memory.write64(host.iova(next), at: list + (room - 1) * 8)
            for (index, entry) in entries[(room - 1)...].enumerated() {
                host.memory.write64(entry, at: next + index * 8)
            }
        } else {
            for (index, entry) in entries.enumerated() { host.memory.write64(entry, at: list + index * 8) }
        }
        let bytes = NVMeHost.pattern(count, seed: 5)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 3) }
        let prp1 = host.iova(page(0) + offset)
        #expect(host.run(2, block: 3, count: 1024, prp1: prp1, prp2: host.iova(list)) == .success)
        var seen = host.memory.bytes(at: page(0) + offset, count: 4096 - offset)
        for number in 1..<pages where seen.count < count {
            seen += host.memory.bytes(at: page(number), count: min(4096, count - seen.count))
        }
        #expect(seen == bytes)
        #expect(host.run(1, block: 2000, count: 1024, prp1: prp1, prp2: host.iova(list)) == .success)
        #expect(disk(host, 2000, 1024) == bytes)
        #expect(host.machine.faults == [])
    }

    @Test func largerPagesAreLargerPages() throws {
        let host = try NVMeHost()
        host.enable(configuration: 0x0046_0101, completionQueue: 0x4000)
        #expect(host.createCompletionQueue(1, at: host.iova(0x11000)) == .invalidPRPOffset)
        #expect(host.createCompletionQueue(1, at: host.iova(0x10000)) == .success)
        #expect(host.createSubmissionQueue(1, at: host.iova(0x14000)) == .success)
        host.queues[1] = .init(submission: 0x14000, completion: 0x10000, entryCount: 64)
        let bytes = NVMeHost.pattern(16384)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 0) }
        // One page, of 16 KiB.
        #expect(host.run(2, block: 0, count: 32) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data, count: 16384) == bytes)
        #expect(host.run(2, block: 0, count: 64, prp2: host.iova(NVMeHost.data + 0x5000)) == .invalidPRPOffset)
        #expect(host.run(2, block: 16, count: 64, prp2: host.iova(NVMeHost.data + 0x8000)) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data, count: 8192) == Array(bytes[8192...]))
    }

    /// Beside those that are tried as in the lab.
    @Test func badCommandsAreRefused() throws {
        let host = try NVMeHost(NVMeModel(blockCount: 2000)).started()
        let data = host.iova(NVMeHost.data)
        for opcode: UInt8 in [1, 2, 8] {
            #expect(host.run(opcode, block: 2000) == .blockOutOfRange)
            #expect(host.run(opcode, block: 0, namespace: 256) == .invalidField)
        }
        #expect(host.run(1, 0, namespace: 257).status == .invalidNamespace)
        #expect(host.run(1, 2, namespace: 1, prp1: data, dwords: [0, 0, 0], flags: 0x40).status == .invalidField)
        #expect(host.run(1, 2, namespace: 1, prp1: data, dwords: [0, 0, 0], flags: 1).status == .invalidField)
        #expect(host.run(2, block: 0, prp1: data + 2) == .invalidPRPOffset)
        #expect(host.run(2, block: 0, count: 32, prp2: data + 4) == .invalidPRPOffset)
        #expect(host.machine.faults == [])
    }

    @Test func whatTheIOMMURefusesIsATransferError() throws {
        let host = try NVMeHost().started()
        let bytes = NVMeHost.pattern(512)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 1) }
        #expect(host.run(1, block: 1, prp1: 0x7000_0000) == .dataTransferError)
        #expect(disk(host, 1) == bytes)
        #expect(host.run(2, block: 1, prp1: 0x7000_1000) == .dataTransferError)
        // The list itself.
        #expect(host.run(2, block: 1, count: 32, prp2: 0x7000_2000) == .dataTransferError)
        #expect(
            host.machine.faults == [
                .read(iova: 0x7000_0000, by: NVMeHost.address), .write(iova: 0x7000_1000, by: NVMeHost.address),
                .read(iova: 0x7000_2000, by: NVMeHost.address),
            ])
        #expect(host.run(2, block: 1) == .success)
    }

    /// As QEMU's controller does not: with its data lost, a command tells of success.
    @Test func aControllerNeedNotNotice() throws {
        let host = try NVMeHost(NVMeModel(noticesRefusedDMA: false)).started()
        host.withModel { model, _ in model.disk.setBytes(NVMeHost.pattern(512), at: 1) }
        #expect(host.run(2, block: 1, prp1: 0x7000_1000) == .success)
        #expect(host.run(1, block: 1, prp1: 0x7000_0000) == .success)
        #expect(disk(host, 1).allSatisfy { $0 == 0 })
        // A list is another matter.
        #expect(host.run(2, block: 1, count: 32, prp2: 0x7000_2000) == .dataTransferError)
        #expect(host.machine.faults.count == 3)
    }

    @Test func withAdminCommandsAloneThereAreNoOthers() throws {
        let host = try NVMeHost()
        host.enable(configuration: 0x0046_0071)
        #expect(host.addQueue(1) == .success)
        #expect(host.run(2, block: 0) == .invalidOpcode)
        host.write(0, 0x14)
        host.enable(configuration: 0x0046_0061)
        #expect(host.addQueue(1) == .success)
        #expect(host.run(2, block: 0) == .success)
    }

    @Test func zeroesNeedNoData() throws {
        let host = try NVMeHost().started()
        host.withModel { model, _ in model.disk.setBytes([UInt8](repeating: 7, count: 512 * 400), at: 0) }
        #expect(host.run(8, block: 10, count: 300, prp1: 0) == .success)
        #expect(disk(host, 0, 10).allSatisfy { $0 == 7 })
        #expect(disk(host, 10, 300).allSatisfy { $0 == 0 })
        #expect(disk(host, 310, 90).allSatisfy { $0 == 7 })
        #expect(host.run(8, block: 100_000, count: 5, prp1: 0) == .success)
    }

    // MARK: Queues

    /// Rounds of the queues, with their phase, head and identifier.
    @Test func queuesGoRound() throws {
        let host = try NVMeHost()
        host.start(entryCount: 4)
        for round in 0..<20 {
            let first = host.submit(2, block: 0)
            let second = host.submit(1, 0x7f)
            let third = host.submit(1, block: 1)
            host.ring()
            let completions = host.reap()
            #expect(
                completions == [
                    .init(identifier: first), .init(identifier: second, status: .invalidOpcode),
                    .init(identifier: third),
                ])
            // Each was taken, and completed, before the next.
            #expect(completions.map(\.head) == (1...3).map { (round * 3 + $0) % 4 })
        }
    }

    /// The controller keeps completions back for which there is no room.
    @Test func aFullQueueIsNotOverwritten() throws {
        let host = try NVMeHost()
        host.start(entryCount: 4)
        #expect(host.createSubmissionQueue(2, completionQueue: 1, at: host.iova(0x12000)) == .success)
        host.queues[2] = .init(submission: 0x12000, completion: 0, entryCount: 64)
        let identifiers = (0..<11).map { host.submit(2, block: UInt64($0), queue: 2) }
        host.ring(2)
        #expect(host.withModel { model, _ in model.statistics.completionCount } == 2 + 1 + 3)
        var seen: [UInt16] = []
        for count in [1, 2, 3, 3] {
            let completions = host.reap(limit: count)
            #expect(completions.allSatisfy { $0.queue == 2 && $0.status == .success })
            seen += completions.map(\.identifier)
        }
        seen += host.reap().map(\.identifier)
        #expect(seen == identifiers)
        #expect(host.reap() == [])
    }

    @Test func manyCommandsGoInReasonableTime() throws {
        let host = try NVMeHost().started()
        var done = 0
        while done < 20_000 {
            for index in 0..<50 { host.submit(2, block: UInt64(index)) }
            host.ring()
            done += host.reap().count
        }
        #expect(host.withModel { model, _ in model.statistics.commandCount(opcode: 2) } == 20_000)
    }

    // MARK: The memory buffer

    @Test func queuesAndDataCanBeInTheLegacyMemoryBuffer() throws {
        let host = try NVMeHost()
        let memory = try host.device.map(.bar2)
        let address = host.withModel { _, bus in bus.barAddress(2) }
        host.start()
        let bytes = NVMeHost.pattern(512)
        memory.copy(bytes, to: 0x3000)
        #expect(host.run(1, block: 9, prp1: address + 0x3000) == .success)
        #expect(disk(host, 9) == bytes)
        #expect(host.run(2, block: 9, prp1: address + 0x4000) == .success)
        #expect(memory.bytes(at: 0x4000, count: 512) == bytes)
        // Across its end nothing is whole.
        #expect(
            host.run(2, block: 0, count: 16, prp1: address + (4 << 20) - 4096, prp2: 0x7000_0000) == .dataTransferError)
        // A submission queue in there, and a completion queue.
        #expect(host.createCompletionQueue(2, at: address) == .success)
        #expect(host.createSubmissionQueue(2, at: address + 0x1000) == .success)
        for index in 0..<16 { memory.write32(0, at: 0x1000 + index * 4) }
        memory.write32(0x4242_0000, at: 0x1000)
        memory.write32(1, at: 0x1004)
        host.write(1, host.doorbell(2))
        #expect(memory.read32(at: 12) == 0x0001_4242)
        #expect(memory.read32(at: 8) == 0x0002_0001)
        #expect(host.machine.faults == [.write(iova: 0x7000_0000, by: NVMeHost.address)])
    }

    @Test func theMemoryBufferCanBePutAnywhere() throws {
        let host = try NVMeHost(NVMeModel(memoryBufferKind: .relocatable))
        #expect(host.read64(0) >> 57 & 1 == 1)
        #expect(host.read(0x38) == 0)
        #expect(host.read(0x3c) == 0)
        host.start()
        let bytes = NVMeHost.pattern(512)
        let memory = try host.device.map(.bar2)
        memory.copy(bytes, to: 0)
        #expect(host.run(1, block: 9, prp1: 0x8_0000_0000) == .dataTransferError)
        host.write64(0x8_0000_0001, 0x50)
        #expect(host.read(0x3c) != 0)
        #expect(host.run(1, block: 9, prp1: 0x8_0000_0000) == .dataTransferError)
        host.write64(0x8_0000_0003, 0x50)
        #expect(host.run(1, block: 9, prp1: 0x8_0000_0000) == .success)
        #expect(disk(host, 9) == bytes)
        let address = host.withModel { _, bus in bus.barAddress(2) }
        #expect(host.run(1, block: 9, prp1: address) == .dataTransferError)
    }

    /// From the disk into another device's memory, which no CPU touches on the way.
    @Test func dataCanGoToAnotherDevice() throws {
        let host = try NVMeHost()
        host.machine.plug(SharedMemoryModel(byteCount: 1 << 20), at: "0000:00:05.0")
        let other = try Device(at: "0000:00:05.0", in: host.space)
        let window = try other.exportDMABuf(of: .bar2, 0..<65536)
        let peer = try host.space.map(window)
        let memory = try other.map(.bar2)
        host.start()
        let bytes = NVMeHost.pattern(512)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 1) }
        #expect(host.run(2, block: 1, prp1: peer.iova.rawValue + 0x1000) == .success)
        #expect(memory.bytes(at: 0x1000, count: 512) == bytes)
        try other.config.updateCommand { $0.remove(.memoryDecode) }
        #expect(host.run(2, block: 1, prp1: peer.iova.rawValue + 0x1000) == .dataTransferError)
    }

    // MARK: Interrupts

    @Test func eachQueueHasItsVector() throws {
        let host = try NVMeHost()
        let vectors = try host.device.interrupts(.msix).enable(vectors: [0, 1, 2])
        host.start(vector: 2)
        #expect(try vectors.poll(0) == 2)
        #expect(host.addQueue(2, vector: 1, interrupts: false) == .success)
        #expect(try vectors.poll(0) == 2)
        for _ in 0..<3 { host.submit(2, block: 0) }
        host.ring()
        // One message tells of all that came at once.
        #expect(try vectors.poll(2) == 1)
        #expect(host.reap().count == 3)
        #expect(host.run(2, block: 0, queue: 2) == .success)
        #expect(try vectors.poll(1) == nil)
        #expect(try vectors.poll(0) == nil)
        #expect(host.createCompletionQueue(3, vector: 64) == .success)
        #expect(host.createCompletionQueue(4, vector: 65) == .invalidInterruptVector)
        try vectors.close()
    }

    @Test func thePinIsUpWhileThereAreCompletions() throws {
        let host = try NVMeHost()
        let pin = try host.device.interrupts(.intx).enable()
        host.start()
        #expect(try pin.poll() == 1)
        try pin.unmask()
        #expect(try pin.poll() == nil)
        host.submit(2, block: 0)
        host.ring()
        #expect(try pin.poll() == 1)
        // Still up: unmasking fires again.
        try pin.unmask()
        #expect(try pin.poll() == 1)
        // INTMS takes it down.
        host.write(1, 0x0c)
        try pin.unmask()
        #expect(try pin.poll() == nil)
        host.write(1, 0x10)
        #expect(try pin.poll() == 1)
        #expect(host.reap().count == 1)
        try pin.unmask()
        #expect(try pin.poll() == nil)
        try pin.close()
    }
}
