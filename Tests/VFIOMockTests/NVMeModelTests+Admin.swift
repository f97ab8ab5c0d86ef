@Suite("NVMe model: admin commands")
struct NVMeModelAdminTests {
    typealias Status = NVMeModel.Status

    private static func text(_ bytes: [UInt8], _ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    /// Runs an admin command that gives a structure of 4096 bytes.
    private func structure(_ host: NVMeHost, _ cns: UInt32, namespace: UInt32 = 0) -> [UInt8] {
        host.memory.copy([UInt8](repeating: 0xee, count: 4096), to: NVMeHost.data)
        let status = host.run(0, 6, namespace: namespace, prp1: host.iova(NVMeHost.data), dwords: [cns]).status
        #expect(status == .success)
        return host.memory.bytes(at: NVMeHost.data, count: 4096)
    }

    @Test func identifyTellsOfTheController() throws {
        let host = try NVMeHost().enabled()
        let bytes = structure(host, 1)
        #expect(Self.number(bytes, 0, 2) == 0x1b36)
        #expect(Self.number(bytes, 2, 2) == 0x1af4)
        #expect(Self.text(bytes, 4..<24) == "MOCK0001            ")
        #expect(Self.text(bytes, 24..<64) == "swift-vfio mock NVMe controller         ")
        #expect(Self.text(bytes, 64..<72) == "1.0     ")
        #expect(bytes[77] == 7)
        #expect(Self.number(bytes, 80, 4) == 0x10400)
        #expect(bytes[512] == 0x66 && bytes[513] == 0x44)
        #expect(Self.number(bytes, 516, 4) == 256)
        #expect(Self.number(bytes, 520, 2) == 8)
        #expect(bytes[525] & 1 == 1)
    }

    @Test(arguments: [(512, 0), (4096, 1)])
    func identifyTellsOfTheNamespace(blockByteCount: Int, format: UInt8) throws {
        let host = try NVMeHost(NVMeModel(blockCount: 1000, blockByteCount: blockByteCount)).enabled()
        let bytes = structure(host, 0, namespace: 1)
        #expect(Self.number(bytes, 0, 8) == 1000)
        #expect(Self.number(bytes, 8, 8) == 1000)
        #expect(bytes[25] == 1)
        #expect(bytes[26] == format)
        #expect(1 << Int(bytes[128 + 4 * Int(format) + 2]) == blockByteCount)
        let list = structure(host, 2)
        #expect(Self.number(list, 0, 4) == 1)
        #expect(list.dropFirst(4).allSatisfy { $0 == 0 })
        #expect(structure(host, 2, namespace: 1).allSatisfy { $0 == 0 })
        // A UUID, and the command set, without which Linux makes no disk of it.
        let descriptors = structure(host, 3, namespace: 1)
        #expect(Array(descriptors[0..<4]) == [3, 16, 0, 0])
        #expect(Array(descriptors[20..<26]) == [4, 1, 0, 0, 0, 0])
        // The structures of the NVM command set, and of no other.
        for (cns, namespace) in [(5, 1), (6, 0), (7, 0)] as [(UInt32, UInt32)] {
            let data = host.iova(NVMeHost.data)
            let zoned = host.run(0, 6, namespace: namespace, prp1: data, dwords: [cns, 2 << 24])
            #expect(zoned.status == .invalidField)
            #expect(structure(host, cns, namespace: namespace)[0] == (cns == 7 ? 1 : 0))
        }
        #expect(structure(host, 0x1c)[0] == 1)
    }

    @Test func identifyKnowsWhatItKnows() throws {
        let host = try NVMeHost().enabled()
        let data = host.iova(NVMeHost.data)
        #expect(host.run(0, 6, namespace: 257, prp1: data, dwords: [0]).status == .invalidNamespace)
        #expect(structure(host, 0, namespace: 256).allSatisfy { $0 == 0 })
        #expect(host.run(0, 6, prp1: data, dwords: [1], flags: 0x40).status == .invalidField)
        #expect(host.run(0, 6, prp1: 0x7000_0000, dwords: [1]).status == .dataTransferError)
        #expect(host.machine.faults == [.write(iova: 0x7000_0000, by: NVMeHost.address)])
        // The structure crosses from one page to the other.
        let offset = NVMeHost.data + 0x800
        #expect(
            host.run(0, 6, prp1: host.iova(offset), prp2: host.iova(NVMeHost.data + 0x3000), dwords: [1]).status
                == .success)
        #expect(host.memory.read16(at: offset) == 0x1b36)
        #expect(host.memory.read32(at: NVMeHost.data + 0x3000) == 2500)
        #expect(host.run(0, 6, prp1: host.iova(offset), prp2: data + 8, dwords: [1]).status == .invalidPRPOffset)
    }

    // MARK: Queues

    @Test func queuesAreCheckedWhenTheyAreCreated() throws {
        let host = try NVMeHost(NVMeModel(queueLimit: 4)).enabled()
        for number in [0, 5, 0xffff] {
            #expect(host.createCompletionQueue(number) == .invalidQueueIdentifier)
            #expect(host.createSubmissionQueue(number, completionQueue: 1) == .invalidQueueIdentifier)
        }
        #expect(host.createCompletionQueue(1, entryCount: 2048) == .success)
        #expect(host.createSubmissionQueue(1, completionQueue: 0) == .invalidQueueIdentifier)
        #expect(host.createSubmissionQueue(1, completionQueue: 5) == .invalidQueueIdentifier)
        #expect(host.createSubmissionQueue(1) == .success)
        // Another one that completes to the same queue.
        #expect(host.createSubmissionQueue(4, completionQueue: 1) == .success)

        #expect(host.run(0, 4, dwords: [1]).status == .invalidQueueDeletion)
        #expect(host.run(0, 0, dwords: [1]).status == .success)
        #expect(host.run(0, 4, dwords: [1]).status == .invalidQueueDeletion)
        #expect(host.run(0, 0, dwords: [4]).status == .success)
        #expect(host.run(0, 0, dwords: [4]).status == .invalidQueueIdentifier)
        #expect(host.run(0, 4, dwords: [1]).status == .success)
        for number: UInt32 in [0, 1, 5] {
            #expect(host.run(0, 4, dwords: [number]).status == .invalidQueueIdentifier)
            #expect(host.run(0, 0, dwords: [number]).status == .invalidQueueIdentifier)
        }
    }

    // MARK: Features

    @Test func featuresAreKept() throws {
        let host = try NVMeHost(NVMeModel(queueLimit: 8)).enabled()
        func get(_ feature: UInt32, _ dword11: UInt32 = 0) -> UInt32? {
            let completion = host.run(0, 10, dwords: [feature, dword11])
            return completion.status == .success ? completion.result : nil
        }
        #expect(host.run(0, 9, dwords: [6, 0]).status == .success)
        #expect(get(7) == 0x0007_0007)
        // All that there are, whatever is asked for.
        #expect(
            host.run(0, 9, dwords: [7, 3 << 16 | 3]) == .init(identifier: 3, result: 0x0007_0007, queue: 0))
        #expect(host.run(0, 9, dwords: [7, 0xffff_0000]).status == .invalidField)
        #expect(host.run(0, 9, dwords: [2, 1]).status == .invalidField)
        #expect(host.run(0, 10, dwords: [1 << 8 | 6]).status == .invalidField)
        #expect(host.createCompletionQueue(1) == .success)
        #expect(host.run(0, 4, dwords: [1]).status == .success)
        // There was a queue, and until the next reset that counts.
        #expect(host.run(0, 9, dwords: [7, 0]).status == .sequenceError)
        host.write(0, 0x14)
        host.enable()
        #expect(get(6) == 1)
        #expect(host.run(0, 9, dwords: [7, 0]).status == .success)
    }

    // MARK: Log pages, events, and Abort

    @Test func logPagesCanBeRead() throws {
        let host = try NVMeHost().started()
        host.run(1, block: 0, count: 8)
        host.run(2, block: 0)
        let data = host.iova(NVMeHost.data)
        host.memory.copy([UInt8](repeating: 0xee, count: 4096), to: NVMeHost.data)
        #expect(host.run(0, 2, prp1: data, dwords: [127 << 16 | 2]).status == .success)
        let bytes = host.memory.bytes(at: NVMeHost.data, count: 516)
        #expect(bytes[0] == 0)
        #expect(Self.number(bytes, 1, 2) == 313)
        #expect(Self.number(bytes, 32, 8) == 1)
        #expect(Self.number(bytes, 64, 8) == 1)
        #expect(Self.number(bytes, 80, 8) == 1)
        #expect(Array(bytes[512...]) == [0xee, 0xee, 0xee, 0xee])
        // A part of it: two dwords from offset 64.
        #expect(host.run(0, 2, prp1: data, dwords: [1 << 16 | 2, 0, 80]).status == .success)
        #expect(host.memory.read64(at: NVMeHost.data) == 1)
        #expect(host.memory.read32(at: NVMeHost.data + 8) != 1)
        #expect(host.run(0, 2, prp1: data, dwords: [2, 0, 2]).status == .invalidField)
        #expect(host.run(0, 2, prp1: data, dwords: [0x55]).status == .invalidLogPage)
        #expect(host.run(0, 2, prp1: data, dwords: [127 << 16 | 3]).status == .success)
        #expect(Self.text(host.memory.bytes(at: NVMeHost.data, count: 16), 8..<16) == "1.0     ")
    }

    @Test func badDoorbellsAreEvents() throws {
        let host = try NVMeHost().started()
        let requests = (0..<4).map { _ in host.submit(0, 12) }
        host.ring(0)
        #expect(host.reap(0) == [])
        #expect(host.run(0, 12).status == .eventRequestLimitExceeded)
        // A queue that is not there: information 0, error log page.
        host.write(1, host.doorbell(7))
        #expect(host.reap(0) == [.init(identifier: requests[0], result: 1 << 16, queue: 0)])
        // Not again before the page was read.
        host.write(64, host.doorbell(1))
        #expect(host.reap(0) == [])
        let data = host.iova(NVMeHost.data)
        #expect(host.run(0, 2, prp1: data, dwords: [31 << 16 | 1 << 15 | 1]).status == .success)
        host.write(64, host.doorbell(1))
        #expect(host.reap(0) == [])
        #expect(host.run(0, 2, prp1: data, dwords: [31 << 16 | 1]).status == .success)
        #expect(host.memory.read64(at: NVMeHost.data) == 3)
        #expect(host.memory.read64(at: NVMeHost.data + 64) == 2)
        #expect(host.memory.read16(at: NVMeHost.data + 8) == 0xffff)
        // A value that cannot be: information 1.
        host.write(64, host.doorbell(1))
        #expect(host.reap(0) == [.init(identifier: requests[1], result: 1 << 16 | 1 << 8, queue: 0)])
        #expect(host.run(2, block: 0) == .success)
        #expect(host.withModel { model, _ in model.statistics.invalidDoorbellWrites } == 4)
    }

    /// The composite temperature is 40 degrees, and the thresholds 70 and -273 degrees at first.
    @Test func aThresholdOfTheTemperatureIsAnEvent() throws {
        let host = try NVMeHost().started()
        let data = host.iova(NVMeHost.data)
        func warning() -> UInt8 {
            #expect(host.run(0, 2, prp1: data, dwords: [127 << 16 | 2]).status == .success)
            return host.memory.read8(at: NVMeHost.data)
        }
        func set(_ threshold: UInt32) { #expect(host.run(0, 9, dwords: [4, threshold]).status == .success) }
        let event: UInt32 = 2 << 16 | 1 << 8 | 1
        var requests = (0..<3).map { _ in host.submit(0, 12) }
        host.ring(0)
        // Nobody has asked for it.
        set(300)
        #expect(warning() == 2)
        #expect(host.reap(0) == [])
        set(343)
        #expect(warning() == 0)
        #expect(host.run(0, 9, dwords: [0x0b, 1 << 1]).status == .success)
        let change = host.submit(0, 9, dwords: [4, 313])
        host.ring(0)
        #expect(
            host.reap(0) == [
                .init(identifier: requests.removeFirst(), result: event, queue: 0), .init(identifier: change, queue: 0),
            ])
        // Once, until the log page is read without RAE.
        set(312)
        #expect(host.run(0, 2, prp1: data, dwords: [127 << 16 | 1 << 15 | 2]).status == .success)
        set(311)
        #expect(host.reap(0) == [])
        set(343)
        #expect(warning() == 0)
        // The lower threshold, in the same feature, and the temperature itself.
        set(1 << 20 | 290)
        #expect(host.run(0, 10, dwords: [4, 1 << 20]).result == 290)
        #expect(host.run(0, 10, dwords: [4]).result == 343)
        host.withModel { model, bus in model.setTemperature(289, bus: bus) }
        #expect(host.reap(0) == [.init(identifier: requests.removeFirst(), result: event, queue: 0)])
        #expect(warning() == 2)
        #expect(Self.number(host.memory.bytes(at: NVMeHost.data, count: 4), 1, 2) == 289)
        host.withModel { model, bus in model.setTemperature(400, bus: bus) }
        #expect(host.reap(0) == [.init(identifier: requests.removeFirst(), result: event, queue: 0)])
        // A sensor that is not there has no threshold; there are two kinds.
        set(1 << 16 | 1)
        #expect(host.run(0, 10, dwords: [4, 1 << 16]).result == 0)
        #expect(host.run(0, 9, dwords: [4, 2 << 20]).status == .invalidField)
        #expect(host.withModel { model, _ in model.temperature } == 400)
    }

    @Test func anEventWaitsForItsRequest() throws {
        let host = try NVMeHost().started()
        // Nothing has completed: no head can move.
        host.write(1, host.doorbell(1, isCompletion: true))
        host.write(0, host.doorbell(1, isCompletion: true))
        host.write(0, host.doorbell(1))
        #expect(host.withModel { model, _ in model.statistics.invalidDoorbellWrites } == 3)
        #expect(host.run(0, 12).result == 1 << 16 | 1 << 8)
        host.submit(0, 12)
        host.ring(0)
        #expect(host.reap(0) == [])
        // A disabled controller takes no doorbells.
        host.write(0, 0x14)
        host.write(9, host.doorbell(1))
        #expect(host.withModel { model, _ in model.statistics.invalidDoorbellWrites } == 3)
    }

    @Test func abortTakesBackWhatIsHeld() throws {
        let host = try NVMeHost().started()
        host.inject(.holdCommand, count: 2)
        let first = host.submit(2, block: 0)
        let second = host.submit(2, block: 1)
        host.ring()
        #expect(host.reap() == [])
        func abort(_ queue: UInt32, _ identifier: UInt16) -> UInt32 {
            host.run(0, 8, dwords: [UInt32(identifier) << 16 | queue]).result
        }
        #expect(abort(1, second + 1) == 1)
        #expect(abort(2, second) == 1)
        #expect(abort(1, second) == 0)
        #expect(host.reap() == [.init(identifier: second, status: .abortRequested)])
        #expect(abort(1, second) == 1)
        // What is left of a queue comes back when the queue goes.
        let data = host.iova(NVMeHost.data)
        #expect(host.run(0, 6, prp1: data, dwords: [1]).status == .success)
        #expect(host.run(0, 0, dwords: [1]).status == .success)
        #expect(host.reap() == [.init(identifier: first, status: .abortedByQueueDeletion)])
        #expect(host.withModel { model, _ in model.heldCommands.count } == 0)
    }
}
