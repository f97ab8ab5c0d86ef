/// The driver on the lab's disk: on the mock by `swift test`, on real kernels by `Tests/Lab/lab test --filter
/// NVMeTests.NVMeLabTests`. The devices of a real machine are shared, so one test runs at a time.
@Suite(.serialized, .timeLimit(.minutes(15)))
struct NVMeLabTests {
    private static func open(
        _ machine: any DiskMachine, _ space: AddressSpace, commandTimeout: Duration = .seconds(20)
    ) throws -> Controller {
        var options = ControllerOptions()
        options.commandTimeout = commandTimeout
        return try Controller(Device(at: machine.disk, in: space), options: options)
    }

    @Test(arguments: DiskScenario.all) func identifies(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let (info, pageSize) = (controller.info, controller.pageSize)
            #expect(info.vendorID == 0x1b36)
            #expect(info.version == "1.4.0")
            #expect(info.maximumTransferByteCount == 512 << 10)
            #expect(pageSize == 4096)
            expectEqual(try controller.namespaceIDs(), [1])
            expectEqual(try controller.namespace(), Namespace(id: 1, blockCount: 131072, blockSize: 512))
            let missing = Result { () throws(NVMeError) in try controller.namespace(2) }
            #expect(throws: NVMeError.invalidArgument("the controller has no active namespace 2")) { try missing.get() }
            try controller.close()
        }
    }

    /// Sizes around the borders of pages, at the start of a page and inside of one.
    @Test(arguments: DiskScenario.all) func readsWhatWasWritten(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4, maximumTransferByteCount: 512 << 10)
            let buffer = try space.allocate(byteCount: 2 << 20)
            for (seed, blocks) in [1, 7, 8, 9, 15, 16, 17, 24, 25, 64, 1023, 1024].enumerated() {
                for offset in [0, 4, 512, 2048, 4092] {
                    let bytes = pattern(blocks * 512, seed: seed + offset)
                    buffer.copy(bytes, to: offset)
                    try queue.write(disk, at: 1000, count: blocks, from: buffer, offset: offset)
                    let target = (1 << 20) + 4096 - offset
                    buffer.copy([UInt8](repeating: 0xee, count: bytes.count + 8), to: target - 4)
                    try queue.read(disk, at: 1000, count: blocks, into: buffer, offset: target)
                    expectEqual(
                        buffer.bytes(at: target, count: bytes.count), bytes, "\(blocks) blocks at offset \(offset)")
                    // And nothing beside them.
                    let before = buffer.bytes(at: target - 4, count: 4)
                    let after = buffer.bytes(at: target + bytes.count, count: 4)
                    #expect(before + after == [UInt8](repeating: 0xee, count: 8))
                }
            }
            try queue.flush(disk)
            try closeAll(queue, buffer, controller)
        }
    }

    @Test(arguments: DiskScenario.all, [false, true])
    func manyInFlight(_ scenario: DiskScenario, interrupts: Bool) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 32, maximumTransferByteCount: 4096, interrupts: interrupts)
            expectEqual(queue.hasInterrupt, interrupts)
            let buffer = try space.allocate(byteCount: 200 * 4096)
            buffer.copy(pattern(200 * 4096))
            for isWrite in [true, false] {
                var places: [CommandID: Int] = [:]
                var (submitted, completed) = (0, 0)
                // Rings and lists wrap several times.
                while completed < 200 {
                    while submitted < 200 {
                        let offset = submitted * 4096
                        let block = UInt64(submitted) * 8 + 4000
                        let command =
                            isWrite
                            ? queue.submitWrite(
                                of: disk, at: block, count: 8, from: buffer, offset: offset, ringing: false)
                            : queue.submitRead(
                                of: disk, at: block, count: 8, into: buffer, offset: offset, ringing: false)
                        guard let command else { break }
                        #expect(places.updateValue(submitted, forKey: command) == nil)
                        submitted += 1
                    }
                    expectEqual(queue.inFlightCount, min(32, 200 - completed))
                    let completion = try queue.waitForCompletion()
                    #expect(completion.status == .success)
                    #expect(places.removeValue(forKey: completion.command) != nil)
                    completed += 1
                }
                #expect(places == [:])
                buffer.expect(pattern(200 * 4096))
                if isWrite { buffer.copy([UInt8](repeating: 0, count: 200 * 4096)) }
            }
            try closeAll(queue, buffer, controller)
        }
    }

    @Test(arguments: DiskScenario.all) func severalQueues(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let disk = try controller.namespace()
            let buffer = try space.allocate(byteCount: 8192)
            var first = try controller.makeQueue(depth: 2)
            var second = try controller.makeQueue(depth: 2, interrupts: true)
            expectEqual([first.id, second.id], [1, 2])
            buffer.copy(pattern(4096))
            try first.write(disk, at: 8, count: 8, from: buffer)
            try second.read(disk, at: 8, count: 8, into: buffer, offset: 4096)
            buffer.expect(pattern(4096), at: 4096)
            // Its number is free again, and the other queue goes on.
            try first.close()
            let third = try controller.makeQueue(depth: 2)
            expectEqual(third.id, 1)
            try second.flush(disk)
            try closeAll(third, second, buffer, controller)
        }
    }

    @Test(arguments: DiskScenario.all) func errorsAreToldAndDoNoHarm(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 2)
            let buffer = try space.allocate(byteCount: 16384)
            expectStatus(.blockOutOfRange, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(disk, at: disk.blockCount, into: buffer)
            }
            expectStatus(.blockOutOfRange, with: &queue) { (queue) throws(NVMeError) in
                try queue.write(disk, at: disk.blockCount - 1, count: 2, from: buffer)
            }
            let stranger = Namespace(id: 1000, blockCount: 1, blockSize: 512)
            expectStatus(.invalidNamespace, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(stranger, at: 0, into: buffer)
            }
            try queue.read(disk, at: 0, into: buffer)
            try closeAll(queue, buffer, controller)
        }
    }

    @Test(arguments: DiskScenario.all, [false, true])
    func aResetEndsWhatIsInFlight(_ scenario: DiskScenario, ofTheFunction: Bool) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space, commandTimeout: .seconds(2))
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 8, interrupts: true)
            var other = try controller.makeQueue(depth: 8)
            let buffer = try space.allocate(byteCount: 8 * 4096)
            for round in 0..<3 {
                // The doorbell is not rung, so the controller cannot complete these before it is reset.
                var commands: Set<CommandID> = []
                for index in 0..<8 {
                    let offset = index * 4096
                    if let id = queue.submitRead(
                        of: disk, at: 0, count: 8, into: buffer, offset: offset, ringing: false)
                    {
                        commands.insert(id)
                    }
                }
                #expect(commands.count == 8)
                if ofTheFunction {
                    // Behind the driver's back.
                    try controller.withDevice { (device) throws(VFIOError) in try device.reset() }
                } else {
                    try controller.reset()
                }
                expectError(.reset, with: &queue) { (queue) throws(NVMeError) in _ = try queue.waitForCompletion() }
                try queue.recover()
                while let completion = queue.nextCompletion() {
                    #expect(completion.status == .aborted)
                    #expect(commands.remove(completion.command) != nil)
                }
                #expect(commands == [], "round \(round)")
                // The other queue's controller is a new one, too.
                expectError(.reset, with: &other) { (queue) throws(NVMeError) in try queue.check() }
                try other.recover()
                try queue.write(disk, at: 16, count: 8, from: buffer)
                try other.read(disk, at: 16, count: 8, into: buffer)
            }
            try closeAll(other, queue, buffer, controller)
        }
    }

    @Test(arguments: DiskScenario.all) func whatWasWrittenSurvivesTheController(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            for round in 0..<3 {
                let controller = try Self.open(machine, space)
                let disk = try controller.namespace()
                var queue = try controller.makeQueue(depth: 1)
                let buffer = try space.allocate(byteCount: 4096)
                if round > 0 {
                    try queue.read(disk, at: 77, count: 8, into: buffer)
                    buffer.expect(pattern(4096, seed: round - 1))
                }
                buffer.copy(pattern(4096, seed: round))
                try queue.write(disk, at: 77, count: 8, from: buffer)
                buffer.copy([UInt8](repeating: 0, count: 4096))
                // In order the first time, without a word the second.
                if round == 0 { try closeAll(queue, controller) }
            }
        }
    }

    /// A queue whose controller nobody else holds.
    private static func queueAlone(_ machine: any DiskMachine, _ space: AddressSpace) throws -> QueuePair {
        try open(machine, space).makeQueue(depth: 1)
    }

    @Test(arguments: DiskScenario.all) func aQueueKeepsItsControllerAlive(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let disk = Namespace(id: 1, blockCount: 131072, blockSize: 512)
            for _ in 0..<2 {
                var queue = try Self.queueAlone(machine, space)
                let buffer = try space.allocate(byteCount: 4096)
                try queue.read(disk, at: 0, into: buffer)
                // The second time the device would not be there, had the first not ended with its queue.
            }
        }
    }

    @Test(arguments: DiskScenario.all) func aClosedControllerIsClosedForItsQueues(_ scenario: DiskScenario) throws {
        try scenario.run { machine, space in
            let controller = try Self.open(machine, space)
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4)
            let buffer = try space.allocate(byteCount: 4096)
            let command = queue.submitRead(of: disk, at: 0, into: buffer, ringing: false)
            do throws(NVMeError) {
                try controller.close()
                Issue.record("it was closed under its queue, without a word")
            } catch {
                guard case .vfio(let reason) = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect(reason.code == .inUse, "\(error)")
            }
            expectError(.closed, with: &queue) { (queue) throws(NVMeError) in _ = try queue.waitForCompletion() }
            expectError(.closed, with: &queue) { (queue) throws(NVMeError) in try queue.recover() }
            let completion = queue.nextCompletion()
            #expect(completion?.command == command)
            #expect(completion?.status == .aborted)
            try closeAll(queue, buffer)
        }
    }
}
