import Glibc

/// Answers in which the model is to be like QEMU's `nvme`. In the lab this runs against that one:
/// `Tests/Lab/lab test --kernel iommufd --filter NVMeModelLabTests`.
///
/// Where QEMU does not do as the specification says, or more than the model, nothing is asked: PRP entries at odd
/// addresses, DMA that is refused, completion queues that are not there, features and log pages beyond the mandatory.
@Suite("NVMe model: as in the lab", .serialized)
struct NVMeModelLabTests {
    typealias Status = NVMeModel.Status

    private func host() throws -> NVMeHost {
        if getenv("SWIFT_VFIO_LAB") == nil { return try NVMeHost() }
        return try NVMeHost(MockMachine(), kernel: HostKernel(), stride: 4)
    }

    /// Waits until the status register has some bits set.
    private func wait(_ host: NVMeHost, until mask: UInt32) -> UInt32 {
        let deadline = ContinuousClock.now + .seconds(5)
        while host.status & mask == 0 && ContinuousClock.now < deadline {}
        return host.status
    }

    private func startedHost() throws -> NVMeHost {
        let host = try host()
        host.enable()
        try #require(wait(host, until: 3) == 1)
        return host
    }

    @Test func registers() throws {
        let host = try host()
        #expect(host.read64(0) == 0x0240_1820_0f01_07ff)
        #expect(host.read(8) == 0x10400)
        #expect(host.read(0x38) == 0x62)
        // But for the completion queues, which QEMU does not have in there.
        #expect(host.read(0x3c) & ~2 == 0x421d)
    }

    @Test func enabling() throws {
        let host = try host()
        let configurations: [(UInt32, status: UInt32)] = [
            (0x0046_0281, 2), (0x0046_0011, 2), (0x0046_0071, 1), (0x0045_0001, 2), (0x0056_0001, 2), (1, 2),
            (0x0046_0061, 1), (0x0046_0001, 1),
        ]
        for (configuration, status) in configurations {
            host.enable(configuration: configuration)
            #expect(wait(host, until: 3) == status, "CC = \(String(configuration, radix: 16))")
            host.write(0, 0x14)
            #expect(host.status == 0)
        }
        host.enable(entryCount: 1)
        #expect(wait(host, until: 3) == 2)
        host.write(0, 0x14)
        host.enable()
        #expect(wait(host, until: 3) == 1)
        host.write(0x0046_4001, 0x14)
        #expect(wait(host, until: 8) == 9)
        host.write(0x0046_0000, 0x14)
        #expect(host.status == 0)
    }

    @Test func identify() throws {
        let host = try startedHost()
        let data = host.iova(NVMeHost.data)
        func ask(_ cns: UInt32, _ namespace: UInt32, prp2: UInt64 = 0, offset: UInt64 = 0) -> Status {
            host.run(0, 6, namespace: namespace, prp1: data + offset, prp2: prp2, dwords: [cns]).status
        }
        #expect(ask(0, 0) == .invalidNamespace)
        #expect(ask(0, 1) == .success)
        #expect(ask(0, 2) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data, count: 4096).allSatisfy { $0 == 0 })
        #expect(ask(0, .max) == .invalidNamespace)
        #expect(ask(2, .max) == .invalidNamespace)
        #expect(ask(3, 1) == .success)
        #expect(ask(0x77, 1) == .invalidField)
        #expect(ask(1, 0, prp2: data + 0x1008, offset: 0x800) == .invalidPRPOffset)
        #expect(host.run(0, 0x7f).status == .invalidOpcode)
        #expect(ask(1, 0) == .success)
        let bytes = host.memory.bytes(at: NVMeHost.data, count: 4096)
        let fields: [(Int, UInt8)] = [
            (0, 0x36), (1, 0x1b), (2, 0xf4), (3, 0x1a), (72, 6), (76, 0), (77, 7), (80, 0), (82, 1), (111, 1),
            (258, 3), (259, 3), (260, 3), (263, 0), (512, 0x66), (513, 0x44), (516, 0), (517, 1), (525, 7),
        ]
        for (offset, value) in fields { #expect(bytes[offset] == value, "byte \(offset)") }
    }

    @Test func queues() throws {
        let host = try startedHost()
        let queue = host.iova(0x10000)
        #expect(host.createCompletionQueue(0) == .invalidQueueIdentifier)
        #expect(host.createCompletionQueue(65) == .invalidQueueIdentifier)
        #expect(host.createCompletionQueue(0xffff) == .invalidQueueIdentifier)
        #expect(host.createCompletionQueue(1, entryCount: 1) == .invalidQueueSize)
        #expect(host.createCompletionQueue(1, entryCount: 2049) == .invalidQueueSize)
        #expect(host.createCompletionQueue(1, vector: 1) == .invalidInterruptVector)
        #expect(host.createCompletionQueue(1, vector: 65) == .invalidInterruptVector)
        #expect(host.createCompletionQueue(1, flags: 0) == .invalidField)
        #expect(host.createCompletionQueue(2, at: queue + 16) == .invalidPRPOffset)
        #expect(host.createCompletionQueue(1, entryCount: 2048) == .success)
        #expect(host.createCompletionQueue(1) == .invalidQueueIdentifier)
        #expect(host.createSubmissionQueue(0, completionQueue: 1) == .invalidQueueIdentifier)
        #expect(host.createSubmissionQueue(0xffff, completionQueue: 1) == .invalidQueueIdentifier)
        #expect(host.createSubmissionQueue(1, entryCount: 1) == .invalidQueueSize)
        #expect(host.createSubmissionQueue(1, entryCount: 2049) == .invalidQueueSize)
        #expect(host.createSubmissionQueue(1, completionQueue: 2) == .invalidCompletionQueue)
        #expect(host.createSubmissionQueue(1, flags: 0) == .invalidField)
        #expect(host.createSubmissionQueue(2, completionQueue: 1, at: queue + 16) == .invalidPRPOffset)
        #expect(host.createSubmissionQueue(1) == .success)
        #expect(host.createSubmissionQueue(1) == .invalidQueueIdentifier)
        #expect(host.run(0, 0, dwords: [0]).status == .invalidQueueIdentifier)
        #expect(host.run(0, 0, dwords: [2]).status == .invalidQueueIdentifier)
        #expect(host.run(0, 0, dwords: [1]).status == .success)
        #expect(host.run(0, 4, dwords: [1]).status == .success)
        #expect(host.run(0, 9, dwords: [7, 0]).status == .sequenceError)
        // Nothing of the kind is there to be aborted.
        #expect(host.run(0, 8, dwords: [77 << 16 | 1]).result == 1)
    }

    @Test func features() throws {
        let host = try startedHost()
        func get(_ feature: UInt32, _ dword11: UInt32 = 0) -> NVMeHost.Completion {
            host.run(0, 10, dwords: [feature, dword11])
        }
        #expect(get(6).result == 1)
        #expect(host.run(0, 9, dwords: [6, 0]).status == .success)
        #expect(get(6).result == 0)
        #expect(get(7).result == 0x003f_003f)
        #expect(host.run(0, 9, dwords: [7, 3 << 16 | 3]).result == 0x003f_003f)
        #expect(host.run(0, 9, dwords: [7, 0xffff]).status == .invalidField)
        #expect(get(9, 3).result == 3)
        #expect(get(9, 65).status == .invalidField)
        #expect(get(0x7f).status == .invalidField)
        #expect(host.run(0, 9, dwords: [0x7f, 0]).status == .invalidField)
        #expect(host.run(0, 9, dwords: [1 << 31 | 6, 0]).status == .featureNotSaveable)
        let data = host.iova(NVMeHost.data)
        #expect(host.run(0, 2, prp1: data, dwords: [15 << 16 | 1]).status == .success)
        #expect(host.run(0, 2, namespace: .max, prp1: data, dwords: [127 << 16 | 2]).status == .success)
        #expect(host.run(0, 2, namespace: .max, prp1: data, dwords: [2, 0, 516]).status == .invalidField)
        #expect(host.run(0, 2, prp1: data, dwords: [127 << 16 | 3]).status == .success)
    }

    @Test func commands() throws {
        let host = try startedHost()
        #expect(host.addQueue(1) == .success)
        let data = host.iova(NVMeHost.data)
        for opcode: UInt8 in [1, 2, 8] {
            #expect(host.run(opcode, block: 131_072) == .blockOutOfRange)
            #expect(host.run(opcode, block: 131_071, count: 2) == .blockOutOfRange)
            #expect(host.run(opcode, block: .max) == .blockOutOfRange)
            #expect(host.run(opcode, block: 0, namespace: 0) == .invalidNamespace)
            #expect(host.run(opcode, block: 0, namespace: 2) == .invalidField)
            #expect(host.run(opcode, block: 0, namespace: 257) == .invalidNamespace)
            #expect(host.run(opcode, block: 0, namespace: .max) == .invalidField)
            #expect(host.run(opcode, block: 131_071) == .success)
        }
        #expect(host.run(2, block: 0, count: 1025) == .invalidField)
        #expect(host.run(2, block: 0, count: 16, prp2: data + 512) == .invalidPRPOffset)
        host.memory.write64(data + 0x3008, at: NVMeHost.data + 0x1000)
        host.memory.write64(data + 0x4000, at: NVMeHost.data + 0x1008)
        #expect(host.run(2, block: 0, count: 24, prp2: data + 0x1000) == .invalidPRPOffset)
        host.memory.write64(data + 0x3008, at: NVMeHost.data + 0x1ff8)
        #expect(host.run(2, block: 0, count: 24, prp2: data + 0x1ff8) == .invalidPRPOffset)
        #expect(host.run(1, 0x7f, namespace: 1).status == .invalidOpcode)
        #expect(host.run(1, 0, namespace: 1).status == .success)
        #expect(host.run(1, 0, namespace: .max).status == .success)
        #expect(host.run(1, 0, namespace: 2).status == .invalidField)
    }

    @Test func events() throws {
        let host = try startedHost()
        let request = host.submit(0, 12)
        // QEMU forgets an event that nobody has asked for, and takes commands in its own time: with the answer to one that
        // stands behind the request it has taken that one too.
        #expect(host.run(0, 10, dwords: [7]).status == .success)
        host.write(1, host.doorbell(7))
        var seen: [NVMeHost.Completion] = []
        let deadline = ContinuousClock.now + .seconds(5)
        while seen.isEmpty && ContinuousClock.now < deadline { seen = host.reap(0) }
        #expect(seen == [.init(identifier: request, result: 1 << 16, queue: 0)])
        host.write(0, 0x14)
    }
}
