import SystemPackage

@testable import NVMe

/// What the driver makes of a controller that goes wrong, one fault at a time.
@Suite(.timeLimit(.minutes(15)))
struct DriverTests {
    private let machine = MockedDiskMachine()

    private static let options = ControllerOptions.impatient(.milliseconds(4))

    /// Brings the controller up, and lets the test work with a queue of 8 commands.
    private func withQueue(
        interrupts: Bool = false, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Controller, inout QueuePair, Namespace, borrowing DMABuffer) throws -> Void
    ) throws {
        try machine.run(sourceLocation) { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 8, interrupts: interrupts)
            let buffer = try space.allocate(byteCount: 64 << 10)
            try body(controller, &queue, disk, buffer)
            try closeAll(queue, buffer, controller)
        }
    }

    private func inject(_ fault: NVMeFault, on match: NVMeFault.Match = .io, skipping: Int = 0, count: Int = 1) {
        machine.withDisk { $0.inject(fault, on: match, skipping: skipping, count: count) }
    }

    // MARK: The device

    @Test func aClosureWithTheDeviceMayUseTheController() throws {
        try withQueue { controller, queue, disk, buffer in
            let ids = try controller.withDevice { (device) throws -> [UInt32] in
                try device.reset()
                try controller.reset()
                try controller.makeQueue(depth: 2).close()
                try controller.withDevice { (device) throws(VFIOError) in _ = try device.config.command() }
                return try controller.namespaceIDs()
            }
            #expect(ids == [disk.id])
            try queue.recover()
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    /// A queue that ends meanwhile takes the device away from the controller, but not from the closure.
    @Test func aDeviceStaysOpenAsLongAsAClosureUsesIt() throws {
        let space = try AddressSpace(kernel: machine.kernel)
        let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
        let queue = SharedQueue(try controller.makeQueue(depth: 2))
        inject(.loseCommand, on: .admin(0))
        inject(.staysReady, on: .admin(0))
        machine.machine.failNextCall(.pwrite, with: .ioError, skipping: 2)
        machine.machine.failNextCall(.ioctl, with: .ioError, request: .deviceReset)
        let id = try controller.withDevice { (device) throws(VFIOError) in
            queue.drop()
            return try device.config.vendorID()
        }
        #expect(id == 0x1b36)
        #expect(machine.machine.pendingFailureCount == 0)
        #expect(machine.machine.pinnedByteCount == 0, "the device is open")
        try controller.close()
    }

    // MARK: Faults of commands

    @Test(arguments: [false, true], [NVMeFault.loseCommand, .loseCompletion, .holdCommand, .holdCompletion])
    func aLostCommandTimesOutAndTheQueueGoesOn(interrupts: Bool, fault: NVMeFault) throws {
        try withQueue(interrupts: interrupts) { controller, queue, disk, buffer in
            inject(fault)
            let late = NVMeError.timeout(waitingFor: "a completion in queue 1", limit: .milliseconds(4))
            expectError(late, with: &queue) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, into: buffer) }
            expectEqual(queue.inFlightCount, 0)
            // What was held back is gone with the reset, and cannot end a later command.
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
            try queue.read(disk, at: 0, into: buffer)
            try queue.check()
        }
    }

    @Test func allCommandsOfTheTimeEndOnceWhenOneIsLost() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.loseCompletion, on: .io, skipping: 2, count: 4)
            var open: Set<CommandID> = []
            for index in 0..<8 {
                open.insert(try submitted(queue.submitWrite(of: disk, at: UInt64(index), from: buffer)))
            }
            expectEqual(queue.submitWrite(of: disk, at: 9, from: buffer), nil)
            var statuses: [CommandStatus] = []
            for _ in 0..<4 {
                let completion = try queue.waitForCompletion()
                #expect(open.remove(completion.command) != nil)
                statuses.append(completion.status)
            }
            let late = NVMeError.timeout(waitingFor: "a completion in queue 1", limit: .milliseconds(4))
            expectError(late, with: &queue) { (queue) throws(NVMeError) in _ = try queue.waitForCompletion() }
            try queue.recover()
            while let completion = queue.nextCompletion() {
                #expect(open.remove(completion.command) != nil)
                statuses.append(completion.status)
            }
            #expect(open == [])
            let ends = [0, 0, 0, 0, 0x371, 0x371, 0x371, 0x371].map { CommandStatus(rawValue: $0) }
            #expect(statuses == ends)
            try queue.flush(disk)
        }
    }

    @Test func whatCompletedBeforeTheResetIsNotAborted() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.fail(.writeFault))
            let command = queue.submitWrite(of: disk, at: 0, from: buffer)
            // It has completed, and nobody has looked.
            try controller.reset()
            try queue.recover()
            let completion = queue.nextCompletion()
            #expect(completion?.command == command)
            #expect(completion?.status.matches(.writeFault) == true)
            expectEqual(queue.nextCompletion(), nil)
        }
    }

    /// A mistake of the driver's user, which must not become silent corruption of the next buffer.
    @Test func aBufferThatIsClosedInFlightIsNotTheNextOne() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.holdCommand)
            let early = try controller.space.allocate(byteCount: 4096)
            let address = early.iova
            let command = try submitted(queue.submitRead(of: disk, at: 0, count: 8, into: early))
            try early.close()
            let next = try controller.space.allocate(byteCount: 4096)
            #expect(next.iova != address)
            next.copy(pattern(4096))
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
            let end = try queue.waitForCompletion()
            #expect(end.command == command)
            #expect(end.status.matches(.dataTransferError))
            #expect(!machine.machine.faults.isEmpty)
            next.expect(pattern(4096))
            try next.close()
        }
    }

    @Test func statusesAreTold() throws {
        try withQueue { controller, queue, disk, buffer in
            for (status, expected) in [
                (NVMeModel.Status.unrecoveredReadError, CommandStatus.unrecoveredReadError),
                (.internalError, .internalError), (.dataTransferError, .dataTransferError),
            ] {
                inject(.fail(status))
                expectStatus(expected, with: &queue) { (queue) throws(NVMeError) in
                    try queue.read(disk, at: 0, into: buffer)
                }
            }
            try queue.read(disk, at: 0, into: buffer)
            let resets = machine.withDisk { $0.statistics.enableCount }
            #expect(resets == 1)
        }
    }

    @Test(arguments: [1, 16, 64, 200])
    func dataThatIsNotMappedFails(_ blocks: Int) throws {
        try withQueue { controller, queue, disk, buffer in
            for address in [IOVA(0x7f_0000_0000), buffer.iova + UInt64(buffer.byteCount - 256)] {
                expectStatus(.dataTransferError, with: &queue) { (queue) throws(NVMeError) in
                    unsafe try queue.read(disk, at: 0, count: blocks, into: address)
                }
            }
            #expect(!machine.machine.faults.isEmpty)
        }
    }

    @Test func aCompletionThatComesTwiceIsNoticedAndCountsOnce() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.duplicateCompletion)
            try queue.read(disk, at: 0, into: buffer)
            // The slot is used again, and the second completion is not taken for that of the new command.
            inject(.loseCommand)
            let command = try submitted(queue.submitRead(of: disk, at: 0, into: buffer))
            expectEqual(queue.nextCompletion(), nil)
            expectError(
                .protocolViolation("1 completions in queue 1 for commands that were not in flight"), with: &queue
            ) { (queue) throws(NVMeError) in _ = try queue.waitForCompletion() }
            try queue.recover()
            expectEqual(queue.nextCompletion(), Completion(command: command, status: .aborted, result: 0))
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aCompletionForNobodyIsNoticed() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.changeIdentifier(to: 0xffff))
            expectError(
                .protocolViolation("1 completions in queue 1 for commands that were not in flight"), with: &queue
            ) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, into: buffer) }
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aLostInterruptOnlyCostsTime() throws {
        try withQueue(interrupts: true) { controller, queue, disk, buffer in
            inject(.loseInterrupt)
            try queue.read(disk, at: 0, into: buffer)
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in
                disk.raiseSpuriousInterrupt(vector: 1, bus: bus)
            }
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aCommandIsAbortedIfTheControllerLetsIt() throws {
        try withQueue { controller, queue, disk, buffer in
            queue.commandTimeout = .seconds(10)
            inject(.holdCommand)
            let held = try submitted(queue.submitRead(of: disk, at: 0, into: buffer, ringing: false))
            expectEqual(try queue.abort(held), true)
            let end = try queue.waitForCompletion()
            #expect(end.command == held)
            #expect(end.status.matches(.abortRequested))
            let nothing = NVMeError.invalidArgument("command \(held.rawValue) of queue 1 is not in flight")
            expectError(nothing, with: &queue) { (queue) throws(NVMeError) in _ = try queue.abort(held) }
            // A controller that has lost it cannot end it.
            inject(.loseCommand)
            let lost = try submitted(queue.submitRead(of: disk, at: 0, into: buffer))
            expectEqual(try queue.abort(lost), false)
            try queue.recover()
            let last = queue.nextCompletion()
            #expect(last?.status == .aborted)
        }
    }

    // MARK: Faults of the controller

    @Test func aFatalStatusIsToldAndOvercome() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.becomeFatal)
            expectError(.fatalStatus, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(disk, at: 0, into: buffer)
            }
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aResetInFlightIsToldAndOvercome() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.resetController)
            expectError(.reset, with: &queue) { (queue) throws(NVMeError) in try queue.write(disk, at: 0, from: buffer)
            }
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aControllerThatDoesNotStopIsResetAsAFunction() throws {
        try withQueue { controller, queue, disk, buffer in
            inject(.loseCommand)
            inject(.staysReady)
            expectError(
                .timeout(waitingFor: "a completion in queue 1", limit: .milliseconds(4)), with: &queue
            ) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, into: buffer) }
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test func aRecoveryThatFailsCanBeTriedAgain() throws {
        try withQueue { controller, queue, disk, buffer in
            let command = try submitted(queue.submitRead(of: disk, at: 0, into: buffer, ringing: false))
            inject(.staysDisabled)
            expectError(
                .timeout(
                    waitingFor: "the controller to become ready (CSTS.RDY = 1)", limit: .milliseconds(4)), with: &queue
            ) { (queue) throws(NVMeError) in try queue.recover() }
            // The command has ended all the same.
            expectEqual(queue.nextCompletion(), Completion(command: command, status: .aborted, result: 0))
            expectError(.reset, with: &queue) { (queue) throws(NVMeError) in try queue.check() }
            inject(.loseCommand, on: .admin(0x01), count: 2)
            expectError(.adminTimeout(command: "Create I/O Submission Queue 1", limit: .milliseconds(4)), with: &queue)
            { (queue) throws(NVMeError) in try queue.recover() }
            try queue.recover()
            try queue.read(disk, at: 0, into: buffer)
        }
    }

    @Test(arguments: [false, true]) func aRemovedControllerIsGone(interrupts: Bool) throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 8, interrupts: interrupts)
            let buffer = try space.allocate(byteCount: 4096)
            inject(.remove, skipping: 1)
            var open: Set<CommandID> = []
            for _ in 0..<3 { open.insert(try submitted(queue.submitRead(of: disk, at: 0, into: buffer))) }
            let first = try queue.waitForCompletion()
            #expect(first.status == .success)
            #expect(open.remove(first.command) != nil)
            expectError(.gone, with: &queue) { (queue) throws(NVMeError) in _ = try queue.waitForCompletion() }
            expectError(.gone, with: &queue) { (queue) throws(NVMeError) in try queue.recover() }
            while let completion = queue.nextCompletion() {
                #expect(completion.status == .aborted)
                #expect(open.remove(completion.command) != nil)
            }
            #expect(open == [])
            try closeAll(queue, buffer)
            do throws(NVMeError) {
                try controller.close()
                Issue.record("a controller that is gone was shut down")
            } catch { #expect(error == .gone, "\(error)") }
        }
    }

    // MARK: Bringing up and down

    /// What bringing the controller up fails with.
    private func refusal() throws -> NVMeError? {
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: machine.disk, in: space)
        do throws(NVMeError) {
            try Controller(device, options: Self.options).close()
            return nil
        } catch { return error }
    }

    @Test func bringUpSaysWhatItWaitedFor() throws {
        inject(.staysDisabled)
        #expect(
            try refusal()
                == .timeout(waitingFor: "the controller to become ready (CSTS.RDY = 1)", limit: .milliseconds(4)))
        inject(.loseCommand, on: .admin(0x06))
        #expect(try refusal() == .adminTimeout(command: "Identify (controller)", limit: .milliseconds(4)))
        inject(.fail(.internalError), on: .admin(0x09))
        let expected = CommandStatus(rawValue: 6)
        #expect(try refusal() == .status(expected, command: "Set Features (Number of Queues)"))
        #expect(try refusal() == nil)
        machine.expectNothingLeft(#_sourceLocation)
    }

    @Test func aShutdownThatDoesNotEndIsTold() throws {
        inject(.neverShutsDown)
        #expect(
            try refusal()
                == .timeout(waitingFor: "the controller's shutdown (CSTS.SHST = 10b)", limit: .milliseconds(4)))
        machine.expectNothingLeft(#_sourceLocation)
    }

    @Test func closeShutsDownInOrderAndSoDoesTheEndOfLife() throws {
        #expect(try refusal() == nil)
        #expect(machine.withDisk { $0.statistics.shutdownCount } == 1)
        do {
            let space = try AddressSpace(kernel: machine.kernel)
            _ = try Controller(Device(at: machine.disk, in: space))
        }
        #expect(machine.withDisk { $0.statistics.shutdownCount } == 2)
        machine.expectNothingLeft(#_sourceLocation)
    }

    @Test func queuesAreDeletedBeforeTheirMemoryIsFreed() throws {
        try withQueue { controller, queue, disk, buffer in
            let space = controller.space
            let before = machine.machine.pinnedByteCount
            do {
                var other = try controller.makeQueue(depth: 4)
                inject(.holdCommand)
                _ = other.submitRead(of: disk, at: 0, into: buffer)
                // Without a word: the end of its life.
            }
            #expect(machine.machine.pinnedByteCount == before)
            let deleted = machine.withDisk { $0.statistics.adminCommandCount(opcode: 0) }
            #expect(deleted == 1)
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
            #expect(machine.machine.faults == [])
            #expect(space.interface == .iommufd)
        }
    }

    @Test func thereAreAsManyQueuesAsTheControllerGrants() throws {
        let machine = MockedDiskMachine(NVMeModel(queueLimit: 2))
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space))
            let first = try controller.makeQueue(depth: 1)
            let second = try controller.makeQueue(depth: 1)
            do throws(NVMeError) {
                try controller.makeQueue(depth: 1).close()
                Issue.record("a third queue")
            } catch { #expect(error == .unsupported("more than 2 I/O queues; ask for them when it is opened")) }
            try closeAll(first, second, controller)
        }
    }

    @Test func doorbellsGoByTheStride() throws {
        let machine = MockedDiskMachine(NVMeModel(doorbellStride: 2))
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 2)
            let buffer = try space.allocate(byteCount: 4096)
            for _ in 0..<10 { try queue.read(disk, at: 0, into: buffer) }
            try closeAll(queue, buffer, controller)
            #expect(machine.withDisk { $0.statistics.invalidDoorbellWrites } == 0)
        }
    }

    @Test func aBatchRingsOnce() throws {
        try withQueue { controller, queue, disk, buffer in
            for _ in 0..<8 { _ = queue.submitRead(of: disk, at: 0, into: buffer, ringing: false) }
            #expect(machine.withDisk { $0.statistics.submissionDoorbellWrites[1] } == 0)
            queue.ring()
            queue.ring()
            #expect(machine.withDisk { $0.statistics.submissionDoorbellWrites[1] } == 1)
            var count = 0
            while queue.nextCompletion() != nil { count += 1 }
            #expect(count == 8)
            // 18 places in the ring, of which 8 are always kept for what is in flight.
            #expect(machine.withDisk { $0.statistics.completionDoorbellWrites[1] } == 0)
            queue.acknowledge()
            queue.acknowledge()
            #expect(machine.withDisk { $0.statistics.completionDoorbellWrites[1] } == 1)
        }
    }
}
