@Suite("NVMe model: the controller")
struct NVMeModelTests {
    @Test func registersTellWhatItIs() throws {
        let host = try NVMeHost()
        // 2048 entries, contiguous queues, 7.5 s, the NVM command set, pages of 4 to 64 KiB, a memory buffer.
        #expect(host.read64(0) == 0x0240_1820_0f01_07ff)
        #expect(host.read(0) == 0x0f01_07ff)
        #expect(host.read(4) == 0x0240_1820)
        #expect(host.status == 0)
        #expect(host.read(0x3c) == 0x421f)
        #expect(try host.device.withRegisters(.bar0) { $0.read8(at: 10) } == 1)
        #expect(try host.device.withRegisters(.bar0) { $0.read16(at: 8) } == 0x400)
        let other = try NVMeHost(NVMeModel(memoryByteCount: 0, doorbellStride: 2))
        #expect(other.read64(0) == 0x0040_1822_0f01_07ff)
        #expect(other.read(0x3c) == 0)
    }

    @Test func adminRegistersKeepWhatCanBe() throws {
        let host = try NVMeHost()
        host.write(.max, 0x24)
        #expect(host.read(0x24) == 0x0fff_0fff)
        host.write64(.max, 0x28)
        #expect(host.read64(0x28) == ~0xfff)
        host.write(0x1234_5678, 0x30)
        host.write(0x9, 0x34)
        #expect(host.read64(0x30) == 0x9_1234_5000)
        host.write(5, 0x0c)
        host.write(8, 0x0c)
        #expect(host.read(0x0c) == 13)
        host.write(4, 0x10)
        #expect(host.read(0x10) == 9)
        // What can only be read stays.
        host.write(0, 8)
        host.write(0xff, 0x1c)
        #expect(host.read(8) == 0x0001_0400)
        #expect(host.status == 0)
    }

    @Test func itComesUpAndGoesDown() throws {
        let host = try NVMeHost().started()
        #expect(host.run(1, block: 5) == .success)
        // A shutdown: it is told to be complete, and no command is taken any more.
        host.write(0x0046_4001, 0x14)
        #expect(host.status == 0x9)
        host.submit(2, block: 5)
        host.ring()
        #expect(host.reap() == [])
        host.write(0x0046_0000, 0x14)
        #expect(host.status == 0)
        // The admin queue's registers outlive the reset.
        #expect(host.read64(0x28) == host.iova(0))
        host.start()
        let statistics = host.withModel { model, _ in model.statistics }
        #expect(statistics.enableCount == 2)
        #expect(statistics.disableCount == 1)
        #expect(statistics.shutdownCount == 1)
        #expect(statistics.commandCount(opcode: 1) == 1)
        #expect(statistics.commandCount(opcode: 2) == 0)
        #expect(statistics.adminCommandCount(opcode: 5) == 2)
    }

    /// A reserved value of AMS. Those of the other fields are tried as in the lab.
    @Test func aReservedArbitrationIsFatal() throws {
        let host = try NVMeHost()
        host.enable(configuration: 0x0046_0801)
        #expect(host.status == 2)
        host.write(0, 0x14)
        #expect(host.status == 0)
        host.start()
    }

    @Test func anAdminQueueHasToFit() throws {
        let host = try NVMeHost()
        // With pages of 8 KiB, the completion queue is in the middle of one.
        host.enable(configuration: 0x0046_0081)
        #expect(host.status == 2)
        host.write(0, 0x14)
        host.enable()
        #expect(host.status == 1)
        // The sizes of entries are looked at again when a queue is created.
        host.write(0x0045_0001, 0x14)
        #expect(host.createCompletionQueue(1) == .success)
        #expect(host.createSubmissionQueue(1) == .invalidQueueSize)
        #expect(host.run(0, 4, dwords: [1]).status == .success)
        host.write(0x0036_0001, 0x14)
        #expect(host.addQueue(1) == .invalidQueueSize)
        host.write(0x0046_0001, 0x14)
        #expect(host.addQueue(1) == .success)
    }

    @Test func aResetTakesTheQueues() throws {
        let host = try NVMeHost().started()
        try host.device.reset()
        try host.device.config.updateCommand { $0.insert([.memoryDecode, .busMaster]) }
        #expect(host.read(0x14) == 0)
        #expect(host.read64(0x28) == 0)
        host.submit(2, block: 0)
        host.ring()
        #expect(host.reap() == [])
        host.start()
        #expect(host.run(2, block: 0) == .success)
        // And so does a controller reset.
        host.write(0x0046_0000, 0x14)
        host.enable()
        #expect(host.run(0, 0, dwords: [1]).status == .invalidQueueIdentifier)
    }

    @Test func nothingIsLeftOver() throws {
        let machine = try Self.useAndDrop()
        #expect(machine.openFiles == [])
        #expect(machine.pinnedByteCount == 0)
        #expect(machine.mappings == [])
        #expect(machine.faults == [])
    }

    private static func useAndDrop() throws -> MockMachine {
        let host = try NVMeHost().started()
        #expect(host.run(1, block: 5) == .success)
        return host.machine
    }

    /// A queue that cannot be read leaves no command to answer.
    @Test func aSubmissionQueueThatCannotBeReadIsFatal() throws {
        let host = try NVMeHost().started()
        #expect(host.createCompletionQueue(2) == .success)
        #expect(host.createSubmissionQueue(2, at: 0x7000_0000) == .success)
        host.write(1, host.doorbell(2))
        #expect(host.status == 3)
        #expect(host.machine.faults == [.read(iova: 0x7000_0000, by: NVMeHost.address)])
        host.write(0x0046_0000, 0x14)
        #expect(host.status == 0)
    }

    /// A write on PCI Express has no answer, so nobody learns of this one.
    @Test func aCompletionThatCannotBeWrittenIsLost() throws {
        let host = try NVMeHost().started()
        #expect(host.createCompletionQueue(2, at: 0x7000_0000) == .success)
        #expect(host.createSubmissionQueue(2) == .success)
        host.queues[2] = .init(submission: 0x11000, completion: 0x12000, entryCount: 64)
        host.submit(1, block: 3, queue: 2)
        host.ring(2)
        #expect(host.reap(2) == [])
        #expect(host.status == 1)
        #expect(host.machine.faults == Array(repeating: .write(iova: 0x7000_0000, by: NVMeHost.address), count: 2))
        #expect(host.run(2, block: 3) == .success)
    }

    @Test func withoutBusMasterNothingGoes() throws {
        let host = try NVMeHost().started()
        try host.device.config.updateCommand { $0.remove(.busMaster) }
        host.submit(2, block: 0)
        host.ring()
        #expect(host.status == 3)
        #expect(host.machine.faults == [])
    }
}
