@testable import NVMe

/// Faults that befall two queues of one controller, which is reset by one of them, by somebody else, or by itself: each
/// command of both ends once, the data is right where success is told, and nothing is left behind.
@Suite(.timeLimit(.minutes(15)))
struct SharedControllerFaultsTests {
    private static let machineCount = 8
    private static let faultsOfAMachine = 50

    /// The faults of commands that leave the controller in its place.
    private static let commandFaults: [NVMeFault] = [
        .loseCommand, .loseCompletion, .holdCommand, .holdCompletion, .duplicateCompletion, .loseInterrupt,
        .becomeFatal, .resetController, .changeIdentifier(to: 0xffff), .fail(.unrecoveredReadError),
        .fail(.writeFault), .fail(.internalError), .fail(.abortRequested), .fail(.dataTransferError),
    ]

    private static let options = ControllerOptions.impatient(.milliseconds(2))

    @Test(arguments: 0..<machineCount)
    func eachCommandEndsOnce(_ number: Int) throws {
        let machine = MockedDiskMachine()
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space), options: Self.options)
            let disk = try controller.namespace()
            var polled = try controller.makeQueue(depth: FaultLoad.depth)
            var slept = try controller.makeQueue(depth: FaultLoad.depth, interrupts: true)
            let buffer = try space.allocate(byteCount: FaultLoad.bufferByteCount)
            var load = FaultLoad(machine, disk, seed: UInt64(number))

            var faults = 0
            while faults < Self.faultsOfAMachine - 1 {
                let before = machine.withDisk { $0.faultCount }
                injectOne(machine, &load)
                load.submit(to: &polled, 0, buffer)
                load.submit(to: &slept, 1, buffer)
                // Someone else resets the controller, or the function, while commands are under way.
                switch load.pick(0..<16) {
                case 0: _ = Result { () throws(NVMeError) in try controller.reset() }
                case 1: try controller.withDevice { (device) throws(VFIOError) in try device.reset() }
                default: break
                }
                _ = load.finish(&polled, 0, buffer)
                _ = load.finish(&slept, 1, buffer)
                faults += machine.withDisk { $0.faultCount } - before
            }
            machine.withDisk { $0.clearFaults() }

            // All is well again.
            try settle(&polled)
            try settle(&slept)
            try settle(&polled)
            load.submit(to: &polled, 0, buffer)
            load.submit(to: &slept, 1, buffer)
            let late = load.finish(&polled, 0, buffer) + load.finish(&slept, 1, buffer)
            #expect(late == [])

            // The last fault of a machine takes the controller away.
            machine.withDisk { $0.inject(.remove) }
            load.submit(to: &polled, 0, buffer)
            load.submit(to: &slept, 1, buffer)
            let errors = load.finish(&polled, 0, buffer) + load.finish(&slept, 1, buffer)
            #expect(errors.contains(.gone), "\(errors)")
            #expect(load.openCount == 0)
            #expect(machine.withDisk { $0.faultCount } >= Self.faultsOfAMachine)
            #expect(load.submitted == load.succeeded + load.failed + load.aborted)
            #expect(load.succeeded > 0 && load.failed > 0 && load.aborted > 0)

            try closeAll(polled, slept, buffer)
            let end = failure(closing: controller, as: NVMeError.self)
            #expect(end == .gone)
        }
    }

    private func injectOne(_ machine: MockedDiskMachine, _ load: inout FaultLoad) {
        let fault = Self.commandFaults[load.pick(0..<Self.commandFaults.count)]
        let (queue, skipping, extra) = (load.pick(1..<3), load.pick(0..<6), load.pick(0..<12))
        machine.withDisk { model in
            model.inject(fault, on: NVMeFault.Match(queue: queue), skipping: skipping)
            // Now and then the recovery goes wrong, too.
            switch extra {
            case 0: model.inject(.staysDisabled)
            case 1: model.inject(.staysReady)
            case 2: model.inject(.loseCommand, on: .admin(0x01))
            case 3: model.inject(.fail(.internalError), on: .admin(0x05))
            default: break
            }
        }
    }

    /// Brings a queue in order that the last fault left without a controller.
    private func settle(_ queue: inout QueuePair) throws(NVMeError) {
        do throws(NVMeError) { try queue.check() } catch { try queue.recover() }
    }
}
