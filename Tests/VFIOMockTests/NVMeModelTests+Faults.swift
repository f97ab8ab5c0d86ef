@Suite("NVMe model: faults")
struct NVMeModelFaultTests {
    typealias Status = NVMeModel.Status

    private func started() throws -> NVMeHost {
        let host = try NVMeHost().started()
        return host
    }

    // MARK: Which commands

    @Test func aFaultBefallsTheCommandsThatItIsPlannedFor() throws {
        let host = try started()
        let error = Status.unrecoveredReadError
        host.inject(.fail(error), on: .io(2, blocks: 8..<10), skipping: 1, count: 2)
        #expect(host.run(2, block: 8) == .success)
        #expect(host.run(2, block: 7) == .success)
        #expect(host.run(1, block: 8) == .success)
        #expect(host.run(2, block: 9) == error)
        #expect(host.withModel { model, _ in model.pendingFaultCount } == 1)
        #expect(host.run(2, block: 10) == .success)
        #expect(host.run(2, block: 8) == error)
        #expect(host.run(2, block: 8) == .success)
        #expect(host.withModel { model, _ in model.pendingFaultCount } == 0)
        #expect(host.withModel { model, _ in model.faultCount } == 2)

        let custom = Status(type: 7, code: 0xc0, doNotRetry: true)
        host.inject(.fail(custom), on: .admin(6))
        host.inject(.fail(error), on: .admin)
        host.inject(.fail(custom), on: .init(queue: 1))
        #expect(host.run(0, 8, dwords: [0]).status == error)
        #expect(host.run(0, 6, prp1: host.iova(NVMeHost.data), dwords: [1]).status == custom)
        #expect(host.run(2, block: 0) == custom)
        host.inject(.fail(error), count: .max)
        for _ in 0..<100 { #expect(host.run(2, block: 0) == error) }
        host.withModel { model, _ in model.clearFaults() }
        #expect(host.run(2, block: 0) == .success)
    }

    /// Two plans for the same commands: the earlier one is first, and each skips by itself.
    @Test func plansTakeTurns() throws {
        let host = try started()
        let (first, second) = (Status(type: 2, code: 1), Status(type: 2, code: 2))
        host.inject(.fail(first), skipping: 1)
        host.inject(.fail(second), count: 3)
        #expect((0..<5).map { _ in host.run(2, block: 0) } == [second, first, second, second, .success])
    }

    // MARK: Each kind

    @Test func aLostCommandHasNoEffect() throws {
        let host = try started()
        host.memory.copy(NVMeHost.pattern(512), to: NVMeHost.data)
        host.inject(.loseCommand, skipping: 1)
        let identifiers = (0..<3).map { host.submit(1, block: UInt64($0)) }
        host.ring()
        #expect(host.reap() == [.init(identifier: identifiers[0]), .init(identifier: identifiers[2])])
        let blocks = host.withModel { model, _ in (0..<3).map { model.disk.bytes(at: $0)[1] } }
        #expect(blocks == [8, 0, 8])
        #expect(host.withModel { model, _ in model.statistics.writtenByteCount } == 1024)
    }

    @Test func aLostCompletionHasAnEffect() throws {
        let host = try started()
        host.memory.copy(NVMeHost.pattern(512), to: NVMeHost.data)
        host.inject(.loseCompletion)
        host.submit(1, block: 4)
        host.ring()
        #expect(host.reap() == [])
        #expect(host.withModel { model, _ in model.disk.bytes(at: 4) } == NVMeHost.pattern(512))
    }

    @Test(arguments: [true, false])
    func heldCommandsComeInAnyOrder(isExecuted: Bool) throws {
        let host = try started()
        let vectors = try host.device.interrupts(.msix).enable(vectors: [0])
        host.memory.copy(NVMeHost.pattern(512), to: NVMeHost.data)
        host.inject(isExecuted ? .holdCompletion : .holdCommand, count: 3)
        let identifiers = (0..<4).map { host.submit(1, block: UInt64($0)) }
        host.ring()
        #expect(host.reap() == [.init(identifier: identifiers[3])])
        _ = try vectors.poll(0)
        let held = host.withModel { model, _ in model.heldCommands }
        #expect(held.map(\.identifier) == Array(identifiers[..<3]))
        #expect(held.allSatisfy { $0.queue == 1 && $0.opcode == 1 && $0.isExecuted == isExecuted })
        func blocks() -> [UInt8] { host.withModel { model, _ in (0..<3).map { model.disk.bytes(at: $0)[1] } } }
        #expect(blocks() == (isExecuted ? [8, 8, 8] : [0, 0, 0]))
        host.withModel { model, bus in model.release(2, bus: bus) }
        #expect(try vectors.poll(0) == 1)
        #expect(host.reap() == [.init(identifier: identifiers[2])])
        #expect(blocks() == (isExecuted ? [8, 8, 8] : [0, 0, 8]))
        host.withModel { model, bus in model.releaseAll(bus: bus) }
        #expect(host.reap().map(\.identifier) == Array(identifiers[..<2]))
        #expect(blocks() == [8, 8, 8])
        #expect(host.withModel { model, _ in model.heldCommands.count } == 0)
        try vectors.close()
    }

    /// A driver that has given up on a command, and taken its memory away, meets it again.
    @Test func aHeldCommandDoesItsDMAWhenItIsReleased() throws {
        let host = try started()
        let buffer = try host.space.allocate(byteCount: 4096)
        let iova = buffer.iova
        host.inject(.holdCommand)
        let identifier = host.submit(2, block: 0, prp1: iova.rawValue)
        host.ring()
        try buffer.close()
        host.withModel { model, bus in model.releaseAll(bus: bus) }
        #expect(host.reap() == [.init(identifier: identifier, status: .dataTransferError)])
        #expect(host.machine.faults == [.write(iova: iova, by: NVMeHost.address)])
    }

    @Test func aResetForgetsWhatIsHeld() throws {
        let host = try started()
        host.inject(.holdCommand, count: 2)
        host.submit(2, block: 0)
        host.ring()
        host.write(0, 0x14)
        #expect(host.withModel { model, _ in model.heldCommands.count } == 0)
        host.start()
        host.submit(2, block: 0)
        host.ring()
        // As a shutdown, after which nothing completes.
        host.write(0x0046_4001, 0x14)
        host.withModel { model, bus in model.releaseAll(bus: bus) }
        #expect(host.reap() == [])
    }

    @Test func dataIsCorruptedOnItsWay() throws {
        let host = try started()
        let bytes = NVMeHost.pattern(512)
        let inverted = bytes.map { ~$0 }
        host.memory.copy(bytes, to: NVMeHost.data)
        host.inject(.corruptData)
        #expect(host.run(1, block: 1) == .success)
        #expect(host.withModel { model, _ in model.disk.bytes(at: 1) } == inverted)
        host.withModel { model, _ in model.disk.setBytes(bytes, at: 1) }
        host.inject(.corruptData)
        #expect(host.run(2, block: 1) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data, count: 512) == inverted)
        #expect(host.run(2, block: 1) == .success)
        #expect(host.memory.bytes(at: NVMeHost.data, count: 512) == bytes)
    }

    @Test func completionsMayBeWrongOrTooMany() throws {
        let host = try started()
        host.inject(.changeIdentifier(to: 0x7777))
        host.inject(.duplicateCompletion, skipping: 1)
        let first = host.submit(2, block: 0)
        let second = host.submit(2, block: 0)
        host.ring()
        #expect(
            host.reap() == [.init(identifier: 0x7777), .init(identifier: second), .init(identifier: second)])
        host.withModel { model, bus in
            model.postStrayCompletion(identifier: first, queue: 1, bus: bus)
            model.postStrayCompletion(identifier: 0xffff, queue: 1, status: .internalError, bus: bus)
            // One of a queue that is not there goes nowhere.
            model.postStrayCompletion(identifier: 1, queue: 9, bus: bus)
        }
        #expect(host.reap() == [.init(identifier: first), .init(identifier: 0xffff, status: .internalError)])
        #expect(host.run(2, block: 0) == .success)
    }

    @Test func interruptsMayBeLostOrTooMany() throws {
        let host = try NVMeHost()
        let vectors = try host.device.interrupts(.msix).enable(vectors: [0, 1])
        host.start(vector: 1)
        host.inject(.loseInterrupt)
        #expect(host.run(2, block: 0) == .success)
        #expect(try vectors.poll(1) == nil)
        #expect(host.run(2, block: 0) == .success)
        #expect(try vectors.poll(1) == 1)
        host.withModel { model, bus in model.raiseSpuriousInterrupt(vector: 1, bus: bus) }
        #expect(try vectors.poll(1) == 1)
        #expect(host.reap() == [])
        try vectors.close()
    }

    @Test func thePinMayBeLost() throws {
        let host = try NVMeHost()
        let pin = try host.device.interrupts(.intx).enable()
        host.start()
        _ = try pin.poll()
        try pin.unmask()
        host.inject(.loseInterrupt)
        host.submit(2, block: 0)
        host.ring()
        #expect(try pin.poll() == nil)
        // The next one tells of both.
        host.submit(2, block: 0)
        host.ring()
        #expect(try pin.poll() == 1)
        #expect(host.reap().count == 2)
        try pin.close()
    }

    @Test func aFatalControllerStops() throws {
        let host = try started()
        host.inject(.becomeFatal, skipping: 1)
        let first = host.submit(2, block: 0)
        host.submit(2, block: 0)
        host.submit(2, block: 0)
        host.ring()
        #expect(host.reap() == [.init(identifier: first)])
        #expect(host.status == 3)
        #expect(host.withModel { model, _ in model.statistics.commandCount(opcode: 2) } == 2)
        host.submit(0, 12)
        host.ring(0)
        #expect(host.reap(0) == [])
        host.write(0, 0x14)
        host.start()
        host.withModel { model, _ in model.becomeFatal() }
        #expect(host.status == 3)
    }

    @Test func aResetInFlightTakesTheQueues() throws {
        let host = try started()
        host.inject(.resetController, skipping: 1)
        let first = host.submit(2, block: 0)
        host.submit(2, block: 0)
        host.submit(2, block: 0)
        host.ring()
        #expect(host.reap() == [.init(identifier: first)])
        #expect(host.status == 0)
        #expect(host.read(0x14) == 0)
        #expect(host.read64(0x28) == 0)
        host.start()
        // And from outside.
        host.inject(.holdCommand)
        host.submit(2, block: 0)
        host.ring()
        host.withModel { model, bus in model.reset(bus: bus) }
        host.withModel { model, bus in model.releaseAll(bus: bus) }
        #expect(host.reap() == [])
        #expect(host.read(0x14) == 0)
    }

    @Test func whatIsRemovedReadsAsOnes() throws {
        let host = try started()
        let vectors = try host.device.interrupts(.msix).enable(vectors: [0])
        host.inject(.holdCommand)
        host.inject(.remove, skipping: 1)
        for _ in 0..<3 { host.submit(2, block: 0) }
        host.ring()
        #expect(host.read(0x1c) == .max)
        #expect(host.read64(0) == .max)
        #expect(try host.device.withRegisters(.bar0) { $0.read16(at: 0x1c) } == .max)
        host.withModel { model, bus in model.releaseAll(bus: bus) }
        #expect(host.reap() == [])
        host.write(0x0046_0001, 0x14)
        try host.device.reset()
        #expect(host.status == .max)
        #expect(host.withModel { model, _ in model.isRemoved })
        #expect(try vectors.poll(0) == nil)
        #expect(host.machine.faults == [])
        try vectors.close()
    }

    @Test func itMayNotComeUpOrGoDown() throws {
        let host = try NVMeHost()
        host.inject(.staysDisabled, count: 2)
        for _ in 0..<2 {
            host.enable()
            #expect(host.status == 0)
            #expect(host.read(0x14) & 1 == 1)
            host.write(0, 0x14)
        }
        host.start()
        host.inject(.neverShutsDown)
        host.write(0x0046_4001, 0x14)
        #expect(host.status == 0x5)
        host.inject(.staysReady)
        host.write(0, 0x14)
        #expect(host.status == 1)
        // A function level reset helps.
        try host.device.reset()
        try host.device.config.updateCommand { $0.insert([.memoryDecode, .busMaster]) }
        #expect(host.status == 0)
        host.start()
        #expect(host.withModel { model, _ in model.faultCount } == 4)
    }

    /// The same plan and the same commands give the same course, of any kind and however many.
    @Test func aThousandFaultsRepeat() throws {
        func course() throws -> [NVMeHost.Completion] {
            let host = try started()
            let kinds: [NVMeFault] = [
                .loseCommand, .loseCompletion, .holdCommand, .holdCompletion, .fail(.internalError), .corruptData,
                .changeIdentifier(to: 1), .duplicateCompletion, .loseInterrupt,
            ]
            for number in 0..<1000 { host.inject(kinds[number % kinds.count], skipping: number % 7) }
            var seen: [NVMeHost.Completion] = []
            for number in 0..<200 {
                for _ in 0..<10 { host.submit(2, block: UInt64(number)) }
                host.ring()
                host.withModel { model, bus in model.releaseAll(bus: bus) }
                seen += host.reap()
            }
            #expect(host.withModel { model, _ in model.faultCount } == 1000)
            return seen
        }
        let first = try course()
        #expect(first.count > 1000)
        #expect(try course() == first)
    }
}
