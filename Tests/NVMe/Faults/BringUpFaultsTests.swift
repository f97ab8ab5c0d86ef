import Dispatch

/// The driver's own commands going wrong, one after the other: of the bring-up, of the first queue, of the end.
@Suite struct BringUpFaultsTests {
    static let faults: [NVMeFault] = [
        .loseCommand, .loseCompletion, .holdCommand, .holdCompletion, .fail(.internalError),
        .fail(.init(type: 1, code: 1, doNotRetry: true)), .corruptData, .changeIdentifier(to: 0xffff),
        .duplicateCompletion, .loseInterrupt, .becomeFatal, .resetController, .remove,
    ]

    /// Whatever goes wrong, all is given back, the device keeps off the memory, and another attempt works.
    @Test(arguments: faults)
    func eachAdminCommandMayFail(fault: NVMeFault) async throws {
        let failures = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try (0..<10).map { try Self.attempt(fault, skipping: $0) } })
            }
        }
        // Beyond the last command of the driver's nothing goes wrong.
        #expect(failures.last == [])
        switch fault {
        // These it gets over, or need not notice.
        case .corruptData, .duplicateCompletion, .loseInterrupt: break
        default: #expect(failures.first?.isEmpty == false)
        }
    }

    /// - Returns: The errors of the driver's whole life.
    private static func attempt(_ fault: NVMeFault, skipping: Int) throws -> [NVMeError] {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: FaultCourse.address)
        machine.withDevice(NVMeModel.self, at: FaultCourse.address) { model, _ in
            model.inject(fault, on: .admin, skipping: skipping)
        }
        let errors = live(machine)
        #expect(machine.openFiles == [])
        #expect(machine.pinnedByteCount == 0)
        #expect(machine.mappings == [])
        let isRemoved = machine.withDevice(NVMeModel.self, at: FaultCourse.address) { model, bus in
            // Nothing is left that could still reach for the memory.
            model.releaseAll(bus: bus)
            model.clearFaults()
            return model.isRemoved
        }
        #expect(machine.faults == [])
        if !isRemoved { #expect(live(machine) == []) }
        return errors
    }

    /// Opens the disk, reads a block, and closes it.
    private static func live(_ machine: MockMachine) -> [NVMeError] {
        var errors: [NVMeError] = []
        do throws(NVMeError) { try live(machine, &errors) } catch { errors.append(error) }
        return errors
    }

    private static func live(_ machine: MockMachine, _ errors: inout [NVMeError]) throws(NVMeError) {
        let device = try open(machine)
        let space = device.space
        let controller = try Controller(device, options: FaultCourse.options)
        let namespace = try controller.namespace()
        var queue = try controller.makeQueue(depth: 4, maximumTransferByteCount: 4096)
        let buffer = try allocate(space)
        do throws(NVMeError) { try queue.read(namespace, at: 1, into: buffer) } catch { errors.append(error) }
        do throws(NVMeError) { try queue.close() } catch { errors.append(error) }
        try controller.close()
    }

    private static func open(_ machine: MockMachine) throws(NVMeError) -> Device {
        do throws(VFIOError) {
            return try Device(at: FaultCourse.address, in: AddressSpace(kernel: machine.kernel))
        } catch { throw .vfio(error) }
    }

    private static func allocate(_ space: AddressSpace) throws(NVMeError) -> DMABuffer {
        do throws(VFIOError) { return try space.allocate(byteCount: 4096) } catch { throw .vfio(error) }
    }

    /// A queue that could not be made leaves its number free for the next attempt, of the same controller.
    @Test(arguments: faults.filter { $0 != .remove })
    func aQueueCanBeMadeAgain(fault: NVMeFault) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            DispatchQueue.global().async {
                continuation.resume(with: Result { for skipping in 0..<2 { try Self.makeQueue(fault, skipping) } })
            }
        }
    }

    private static func makeQueue(_ fault: NVMeFault, _ skipping: Int) throws {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: FaultCourse.address)
        do {
            let device = try open(machine)
            let space = device.space
            let controller = try Controller(device, options: FaultCourse.options)
            let namespace = try controller.namespace()
            machine.withDevice(NVMeModel.self, at: FaultCourse.address) { model, _ in
                model.inject(fault, on: .admin, skipping: skipping)
            }
            let pinned = machine.pinnedByteCount
            makeAndDrop(controller)
            machine.withDevice(NVMeModel.self, at: FaultCourse.address) { model, bus in
                model.releaseAll(bus: bus)
                model.clearFaults()
            }
            #expect(machine.faults == [])
            // The memory of a queue is given back with it, not with the address space at the end.
            #expect(machine.pinnedByteCount == pinned)
            // What the driver owes its user is a queue that works, at the latest after a reset of the controller.
            var queue = try makeQueue(controller)
            #expect(queue.id == 1)
            let buffer = try space.allocate(byteCount: 4096)
            try queue.read(namespace, at: 1, into: buffer)
            try closeAll(queue, buffer)
            #expect(machine.pinnedByteCount == pinned)
            try controller.close()
        }
        #expect(machine.openFiles == [])
    }

    private static func makeAndDrop(_ controller: borrowing Controller) {
        do {
            let queue = try controller.makeQueue(depth: 4, maximumTransferByteCount: 4096)
            try queue.close()
        } catch {}
    }

    private static func makeQueue(_ controller: borrowing Controller) throws(NVMeError) -> QueuePair {
        do throws(NVMeError) { return try controller.makeQueue(depth: 4, maximumTransferByteCount: 4096) } catch {
            try controller.reset()
            return try controller.makeQueue(depth: 4, maximumTransferByteCount: 4096)
        }
    }
}
