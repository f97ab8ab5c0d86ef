import Dispatch
import Synchronization
import SystemPackage

@testable import NVMe

/// The ends of a controller's life that go wrong, with queues that outlive it: before anybody takes memory for free, the
/// controller has to keep off it.
@Suite(.timeLimit(.minutes(15)))
struct ClosingFaultsTests {
    private let machine = MockedDiskMachine()

    private static let options = ControllerOptions.impatient(.milliseconds(4), shutdown: .milliseconds(40))

    private static let neverShutDown = NVMeError.timeout(
        waitingFor: "the controller's shutdown (CSTS.SHST = 10b)", limit: .milliseconds(40))

    private func expectStopped(sourceLocation: SourceLocation = #_sourceLocation) {
        let state = machine.diskState
        #expect(!state.isEnabled, sourceLocation: sourceLocation)
        #expect(!state.isMaster, sourceLocation: sourceLocation)
    }

    @Test(arguments: [false, true]) func aShutdownThatDoesNotEndStopsTheController(staysReady: Bool) throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            var queue = try controller.makeQueue(depth: 4)
            machine.withDisk { $0.inject(.neverShutsDown) }
            if staysReady { machine.withDisk { $0.inject(.staysReady) } }
            #expect(failure(closing: controller, as: NVMeError.self) == Self.neverShutDown)
            // The queue keeps the device open, so it is not the kernel that has done it.
            expectStopped()
            expectError(.closed, with: &queue) { (queue) throws(NVMeError) in try queue.check() }
            expectError(.closed, with: &queue) { (queue) throws(NVMeError) in try queue.recover() }
            try queue.close()
        }
    }

    /// Sees a queue from another thread, while the controller is closed: it is told when the controller has stopped, and
    /// no sooner.
    @Test(arguments: [false, true]) func noQueueEndsBeforeTheControllerHasStopped(neverShutsDown: Bool) throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            let queue = SharedQueue(try controller.makeQueue(depth: 4))
            let buffer = try space.allocate(byteCount: 4096)
            let iova = buffer.iova
            machine.withDisk { model in
                model.inject(.holdCommand, count: 2)
                if neverShutsDown { model.inject(.neverShutsDown) }
            }
            for _ in 0..<2 { _ = queue.with { unsafe $0.submitRead(of: disk, at: 0, into: iova) } }
            let statuses = Mutex<[CommandStatus]>([])
            let group = DispatchGroup()
            let machine = machine
            DispatchQueue.global().async(group: group) {
                // It is late soon, and waits for the controller then, which is being closed.
                while true {
                    let error = queue.with { queue -> NVMeError? in
                        do throws(NVMeError) { try queue.check() } catch { return error }
                        return nil
                    }
                    guard let error, error == .closed || error == .reset else { continue }
                    #expect(error == .closed)
                    break
                }
                let state = machine.diskState
                #expect(!state.isEnabled && !state.isMaster, "told too early")
                queue.with { queue in
                    do throws(NVMeError) { try queue.recover() } catch { #expect(error == .closed) }
                    while let completion = queue.nextCompletion() { statuses.withLock { $0.append(completion.status) } }
                }
                queue.drop()
            }
            let outcome = failure(closing: controller, as: NVMeError.self)
            group.wait()
            // The device is closed here, or with the queue.
            if neverShutsDown {
                #expect(outcome == Self.neverShutDown)
            } else if let outcome {
                guard case .vfio(let error) = outcome, error.code == .inUse else { throw outcome }
            }
            #expect(statuses.withLock { $0 } == [.aborted, .aborted])
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
            #expect(machine.machine.faults == [])
            try buffer.close()
        }
    }

    @Test func anAdminCommandWithoutAnEndKeepsTheOthersBack() throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4)
            machine.withDisk { $0.inject(.holdCommand, on: .admin(0x06)) }
            let late = NVMeError.adminTimeout(command: "Identify (active namespaces)", limit: .milliseconds(4))
            let count = machine.withDisk { $0.statistics.adminCommandCount(opcode: 0x06) }
            for _ in 0..<2 {
                do throws(NVMeError) {
                    _ = try controller.namespaceIDs()
                    Issue.record("an answer")
                } catch { #expect(error == late) }
            }
            #expect(machine.withDisk { $0.statistics.adminCommandCount(opcode: 0x06) } <= count + 1)
            // The queue goes on meanwhile.
            try queue.flush(disk)
            // One that is made by half is taken back, by a reset.
            try controller.reset()
            try queue.recover()
            machine.withDisk { $0.inject(.loseCompletion, on: .admin(0x05)) }
            do throws(NVMeError) {
                try controller.makeQueue(depth: 4).close()
                Issue.record("a queue")
            } catch {
                #expect(error == .adminTimeout(command: "Create I/O Completion Queue 2", limit: .milliseconds(4)))
            }
            expectError(.reset, with: &queue) { (queue) throws(NVMeError) in try queue.check() }
            try queue.recover()
            #expect(try controller.namespaceIDs() == [1])
            try closeAll(queue, controller)
        }
    }

    @Test func commandsStayInFlightWhileTheControllerIsNotStopped() throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4)
            loseFlush(of: disk, &queue)
            // The first is the store to CC, the second the one to the command register. The last resort is a reset.
            machine.machine.failNextCall(.pwrite, with: .ioError, skipping: 1)
            machine.machine.failNextCall(.ioctl, with: .ioError, request: .deviceReset)
            do throws(NVMeError) {
                try queue.recover()
                Issue.record("it has recovered")
            } catch {
                guard case .notStopped = error else {
                    Issue.record("\(error)")
                    return
                }
            }
            expectEqual(queue.nextCompletion(), nil)
            #expect(machine.diskState.isMaster)
            try queue.recover()
            let end = queue.nextCompletion()
            #expect(end?.status == .aborted)
            try queue.flush(disk)
            try closeAll(queue, controller)
        }
    }

    /// Submits a command that is lost, to a controller that its enable bit does not stop.
    private func loseFlush(of disk: Namespace, _ queue: inout QueuePair) {
        machine.withDisk { model in
            model.inject(.loseCommand)
            model.inject(.staysReady)
        }
        _ = queue.submitFlush(of: disk)
    }

    /// Makes all that could stop the disk fail, from the given number of stores on, once each.
    private func failToStop(skipping: Int) {
        machine.withDisk { $0.inject(.staysReady) }
        machine.machine.failNextCall(.pwrite, with: .ioError, skipping: skipping + 1)
        machine.machine.failNextCall(.ioctl, with: .ioError, request: .deviceReset)
    }

    /// The error of the command says less than that of the stop: whoever hears of a timeout frees the buffer.
    @Test func aReadThatLeavesTheControllerRunningSaysSo() throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            let buffer = try space.allocate(byteCount: 4096)
            var queue = try controller.makeQueue(depth: 4)
            machine.withDisk { $0.inject(.holdCommand) }
            // The first store is that to the doorbell.
            failToStop(skipping: 1)
            do throws(NVMeError) {
                try queue.read(disk, at: 0, into: buffer)
                Issue.record("it was read")
            } catch {
                guard case .notStopped = error else {
                    Issue.record("\(error)")
                    return
                }
            }
            let inFlight = queue.inFlightCount
            #expect(inFlight == 1)
            // It can be tried again.
            try queue.recover()
            #expect(queue.nextCompletion()?.status == .aborted)
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
            try queue.read(disk, at: 0, into: buffer)
            try closeAll(queue, buffer, controller)
            #expect(machine.machine.faults == [])
        }
    }

    /// A reset stops the controller where its own register and the command register cannot be written.
    @Test func aResetIsTheLastResort() throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4)
            loseFlush(of: disk, &queue)
            machine.machine.failNextCall(.pwrite, with: .ioError, skipping: 1)
            try queue.recover()
            #expect(queue.nextCompletion()?.status == .aborted)
            try queue.flush(disk)
            try closeAll(queue, controller)
        }
    }

    /// The kernel stops a device when it is closed, but somebody else may keep it open.
    @Test(arguments: [false, true]) func theMemoryOfAQueueIsKeptIfTheControllerRuns(isKeptOpen: Bool) throws {
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: machine.disk, in: space)
        let other = isKeptOpen ? try device.makeRegisterBank(of: .bar0) : nil
        let controller = try Controller(device, options: Self.options)
        let disk = try controller.namespace()
        let pinned = machine.machine.pinnedByteCount
        var queue = try controller.makeQueue(depth: 4)
        machine.withDisk { $0.inject(.holdCommand) }
        _ = queue.submitFlush(of: disk)
        // The queue cannot be deleted.
        machine.withDisk { $0.inject(.loseCommand, on: .admin(0)) }
        failToStop(skipping: 1)
        guard case .notStopped? = failure(closing: queue, as: NVMeError.self) else {
            Issue.record("the queue was closed")
            return
        }
        // With the device open, the memory of both queues and the buffer of the controller are as they were.
        #expect(machine.machine.pinnedByteCount == (isKeptOpen ? pinned + 3 * 4096 : 0))
        #expect(machine.diskState.isMaster == isKeptOpen)
        machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
        #expect(machine.machine.faults == [])
        try other?.close()
        try controller.close()
    }

    /// A controller that could not be stopped, whose device somebody else keeps open.
    private func withRunningController(
        _ body: (AddressSpace, consuming Controller, Namespace) throws -> Void
    ) throws {
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: machine.disk, in: space)
        let other = try device.makeRegisterBank(of: .bar0)
        let controller = try Controller(device, options: Self.options)
        let disk = try controller.namespace()
        try body(space, controller, disk)
        // It goes on with what it had, which is all there still.
        #expect(machine.diskState.isMaster)
        machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
        #expect(machine.machine.faults == [])
        try other.close()
    }

    private func isNotStopped(_ error: NVMeError?) -> Bool {
        if case .notStopped? = error { true } else { false }
    }

    /// Uses a queue of a controller that still runs, in each way that would let its owner free memory.
    private func expectNotStopped(_ queue: consuming QueuePair, sourceLocation: SourceLocation = #_sourceLocation) {
        var queue = queue
        var errors: [NVMeError?] = []
        do throws(NVMeError) { try queue.check() } catch { errors.append(error) }
        do throws(NVMeError) { _ = try queue.waitForCompletion() } catch { errors.append(error) }
        do throws(NVMeError) { try queue.recover() } catch { errors.append(error) }
        #expect(errors.count { isNotStopped($0) } == 3, "\(errors)", sourceLocation: sourceLocation)
        expectEqual(queue.nextCompletion(), nil, sourceLocation: sourceLocation)
        expectEqual(queue.inFlightCount, 1, sourceLocation: sourceLocation)
        let pinned = machine.machine.pinnedByteCount
        let end = failure(closing: queue, as: NVMeError.self)
        #expect(isNotStopped(end), "close", sourceLocation: sourceLocation)
        #expect(machine.machine.pinnedByteCount == pinned, sourceLocation: sourceLocation)
    }

    /// Whoever hears that the controller is closed takes its memory for free.
    @Test(arguments: [false, true]) func allQueuesAreToldThatTheControllerRuns(endsWithController: Bool) throws {
        try withRunningController { space, controller, disk in
            let buffer = try space.allocate(byteCount: 4096)
            let first = try controller.makeQueue(depth: 4)
            var second = try controller.makeQueue(depth: 4)
            machine.withDisk { $0.inject(.holdCommand) }
            _ = second.submitRead(of: disk, at: 0, into: buffer)
            if endsWithController {
                machine.withDisk { $0.inject(.staysReady) }
                // After the stores of the shutdown and the stop, both that end its DMA.
                machine.machine.failNextCall(.pwrite, with: .ioError, skipping: 2, count: 2)
                machine.machine.failNextCall(.ioctl, with: .ioError, request: .deviceReset)
                #expect(isNotStopped(failure(closing: controller, as: NVMeError.self)))
                #expect(isNotStopped(failure(closing: first, as: NVMeError.self)))
            } else {
                machine.withDisk { $0.inject(.loseCommand, on: .admin(0)) }
                failToStop(skipping: 1)
                #expect(isNotStopped(failure(closing: first, as: NVMeError.self)))
                var errors: [NVMeError?] = []
                do throws(NVMeError) { try controller.reset() } catch { errors.append(error) }
                do throws(NVMeError) { _ = try controller.namespaceIDs() } catch { errors.append(error) }
                do throws(NVMeError) { try controller.makeQueue().close() } catch { errors.append(error) }
                do throws(NVMeError) {
                    try controller.withDevice { (device) throws(VFIOError) in _ = try device.config.command() }
                } catch { errors.append(error) }
                #expect(errors.count { isNotStopped($0) } == 4, "\(errors)")
                try controller.close()
            }
            #expect(machine.machine.pendingFailureCount == 0)
            expectNotStopped(second)
            abandon(buffer)
        }
    }

    /// A queue that is made by half, and one that ends without a word.
    @Test(arguments: [false, true]) func theMemoryOfAQueueThatIsNotHandedOutIsKept(isDropped: Bool) throws {
        try withRunningController { space, controller, disk in
            let pinned = machine.machine.pinnedByteCount
            if isDropped {
                var queue = try controller.makeQueue(depth: 4)
                machine.withDisk { model in
                    model.inject(.holdCommand)
                    model.inject(.loseCommand, on: .admin(0))
                }
                _ = queue.submitFlush(of: disk)
                failToStop(skipping: 1)
            } else {
                machine.withDisk { $0.inject(.loseCommand, on: .admin(1)) }
                // The stores to the doorbell are for both creations.
                failToStop(skipping: 2)
                do throws(NVMeError) {
                    try controller.makeQueue(depth: 4).close()
                    Issue.record("a queue")
                } catch { #expect(isNotStopped(error)) }
            }
            #expect(machine.machine.pendingFailureCount == 0)
            #expect(machine.machine.pinnedByteCount == pinned + 3 * 4096)
            try controller.close()
        }
    }

    /// A controller that does not become ready, and whose DMA cannot be switched off then, has the admin queue's address.
    @Test func theMemoryOfAControllerThatFailsToStartIsKept() throws {
        let mock = machine.machine
        let space = try AddressSpace(kernel: machine.kernel)
        func start(isKeptOpen: Bool) throws -> NVMeError? {
            machine.withDisk { $0.inject(.staysDisabled) }
            let device = try Device(at: machine.disk, in: space)
            let other = isKeptOpen ? try device.makeRegisterBank(of: .bar0) : nil
            defer { withExtendedLifetime(other) {} }
            do throws(NVMeError) {
                try Controller(device, options: Self.options).close()
                return nil
            } catch {
                if isKeptOpen { #expect(mock.pinnedByteCount >= 4 * 4096) }
                return error
            }
        }
        mock.recordsCalls = true
        let late = NVMeError.timeout(
            waitingFor: "the controller to become ready (CSTS.RDY = 1)", limit: .milliseconds(4))
        #expect(try start(isKeptOpen: false) == late)
        #expect(mock.pinnedByteCount == 0)
        let storeCount = mock.calls.count { $0.call == .pwrite }
        // The last one.
        mock.failNextCall(.pwrite, with: .ioError, skipping: storeCount - 1)
        #expect(try start(isKeptOpen: true) == .notStopped("\(late)"))
        #expect(mock.pendingFailureCount == 0)
    }
}
