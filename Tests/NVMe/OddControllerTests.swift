import Dispatch
import Glibc
import Synchronization
import SystemPackage
import Testing
import VFIO
import VFIOMock

@testable import NVMe

/// Controllers that differ from the mock's as real ones do, all of which Linux's driver takes.
@Suite(.timeLimit(.minutes(15)))
struct OddControllerTests {
    private static let address: PCIAddress = "0000:00:04.0"

    /// Brings a controller up, and fails the test when it leaves something behind.
    private func withController(
        _ model: OddController, options: ControllerOptions = ControllerOptions(),
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Controller, MockMachine) throws -> Void
    ) throws {
        let machine = MockMachine()
        machine.plug(model, at: Self.address)
        do {
            let controller = try Controller(
                Device(at: Self.address, in: AddressSpace(kernel: machine.kernel)), options: options)
            try body(controller, machine)
            try controller.close()
        }
        #expect(machine.openFiles == [], sourceLocation: sourceLocation)
        #expect(machine.pinnedByteCount == 0, sourceLocation: sourceLocation)
    }

    /// Looks at the model.
    private func look<Result: Sendable>(_ machine: MockMachine, _ body: (OddController) -> Result) -> Result {
        machine.withDevice(OddController.self, at: Self.address) { model, _ in body(model) }
    }

    /// Writes and reads a block through a queue.
    private func exchange(
        _ controller: borrowing Controller, _ queue: inout QueuePair, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let disk = try controller.namespace()
        let buffer = try controller.space.allocate(byteCount: 8192)
        let bytes = pattern(disk.blockSize, seed: Int(queue.id))
        buffer.copy(bytes)
        try queue.write(disk, at: UInt64(queue.id), from: buffer)
        try queue.read(disk, at: UInt64(queue.id), into: buffer, offset: 4096)
        buffer.expect(bytes, at: 4096, sourceLocation: sourceLocation)
        try buffer.close()
    }

    // Closures of macros do not capture owners well in Swift 6.3.
    private func expectBlocks(
        of namespace: UInt32, _ controller: borrowing Controller, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let disk = try controller.namespace(namespace)
        #expect(disk.blockSize == 512, sourceLocation: sourceLocation)
    }

    /// The error of a namespace, or of the list of them.
    private func refusal(of namespace: UInt32?, _ controller: borrowing Controller) -> NVMeError? {
        do throws(NVMeError) {
            if let namespace { _ = try controller.namespace(namespace) } else { _ = try controller.namespaceIDs() }
            return nil
        } catch { return error }
    }

    /// Writes and reads a block through each of several queues, all of which are there meanwhile.
    private func exchange(_ controller: borrowing Controller, queueCount: Int) throws {
        var queue = try controller.makeQueue(depth: 8, interrupts: true)
        let hasInterrupt = queue.hasInterrupt
        #expect(hasInterrupt)
        if queueCount > 1 { try exchange(controller, queueCount: queueCount - 1) }
        try exchange(controller, &queue)
        try queue.close()
    }

    // MARK: Registers

    @Test func registersMayTakeHalvesOnly() throws {
        var model = OddController()
        model.ignores64Bits = true
        try withController(model) { controller, _ in
            var queue = try controller.makeQueue()
            try exchange(controller, &queue)
            try queue.close()
        }
    }

    @Test(arguments: [(1, 1), (2, 2), (31, 31), (127, 64), (2047, 64)] as [(UInt64, Int)])
    func aQueueHasNoMoreEntriesThanThereAre(_ mqes: UInt64, _ depth: Int) throws {
        var model = OddController()
        model.clearedCapabilities = 0xffff
        model.setCapabilities = mqes
        try withController(model) { controller, _ in
            var queue = try controller.makeQueue()
            let found = queue.depth
            #expect(found == depth)
            try exchange(controller, &queue)
            try queue.close()
            let most = NVMeError.invalidArgument("a queue can have 1 to \(mqes) commands in flight, not \(mqes + 1)")
            do throws(NVMeError) {
                try controller.makeQueue(depth: Int(mqes) + 1).close()
                Issue.record("a queue that is too long")
            } catch { #expect(error == most) }
        }
    }

    /// What is written to CC.CSS for CAP.CSS, and whether there are I/O queues.
    @Test(
        arguments: [
            (0b0000_0000, 0, true), (0b0000_0001, 0, true), (0b1000_0001, 0, true), (0b0100_0000, 6, true),
            (0b0100_0001, 6, true), (0b1100_0001, 6, true), (0b1000_0000, 7, false),
        ] as [(UInt64, UInt32, Bool)])
    func eachCommandSetIsTaken(_ offered: UInt64, _ chosen: UInt32, hasQueues: Bool) throws {
        var model = OddController()
        model.clearedCapabilities = 0xff << 37
        model.setCapabilities = offered << 37
        try withController(model) { controller, machine in
            let configuration = machine.withDevice(OddController.self, at: Self.address) { model, bus in
                UInt32(model.read(bar: 0, at: 0x14, width: 4, bus: bus))
            }
            #expect(configuration >> 4 & 7 == chosen)
            try expectBlocks(of: 1, controller)
            do throws(NVMeError) {
                let queue = try controller.makeQueue()
                #expect(hasQueues)
                try queue.close()
            } catch {
                #expect(error == .unsupported("I/O commands: it has admin commands only (CAP.CSS)"))
                #expect(!hasQueues)
            }
        }
    }

    @Test func aFatalStatusFromBeforeIsOvercome() throws {
        var model = OddController()
        model.startsFatal = true
        try withController(model) { controller, _ in
            var queue = try controller.makeQueue()
            try exchange(controller, &queue)
            try queue.close()
        }
    }

    /// A check of its own, since the controller would take the queue and never hear of a command.
    @Test func aQueueWithoutDoorbellsIsRefused() throws {
        var model = OddController()
        model.setCapabilities = 11 << 32
        model.doorbellStride = 8192
        try withController(model) { controller, machine in
            let pinned = machine.pinnedByteCount
            let expected = NVMeError.unsupported(
                "doorbells of queue 1 inside of BAR 0: they end at 28676, and it has 16384 bytes")
            for _ in 0..<2 {
                do throws(NVMeError) {
                    try controller.makeQueue().close()
                    Issue.record("a queue")
                } catch { #expect(error == expected) }
            }
            #expect(look(machine) { $0.submissionQueueFlags } == [])
            #expect(machine.pinnedByteCount == pinned)
        }
    }

    // MARK: Vectors

    /// Each queue has an interrupt, its own or a shared one, and they are off when the queues have gone.
    @Test(arguments: [(1, 1), (4, 4), (4, 3), (4, 1)]) func queuesShareVectors(_ queues: Int, _ vectors: Int) throws {
        var options = ControllerOptions()
        options.queueCount = queues
        let model = OddController(NVMeModel(memoryByteCount: 0, queueLimit: queues), vectors: vectors)
        try withController(model, options: options) { controller, machine in
            for _ in 0..<2 { try exchange(controller, queueCount: queues) }
        }
    }

    /// Two queues sleep until the same interrupt, and each of them wakes up for what is its own.
    @Test func queuesThatShareAVectorWakeEachOther() throws {
        let model = OddController(NVMeModel(memoryByteCount: 0, queueLimit: 2), vectors: 1)
        var options = ControllerOptions()
        // So long that a wake-up that is lost takes 100 s.
        options.commandTimeout = .seconds(800)
        try withController(model, options: options) { controller, machine in
            let disk = try controller.namespace()
            let queues = try (0..<2).map { _ in SharedQueue(try controller.makeQueue(depth: 2, interrupts: true)) }
            let buffer = try controller.space.allocate(byteCount: 4096)
            let iova = buffer.iova
            let start = ContinuousClock.now
            for round in 0..<20 {
                machine.withDevice(OddController.self, at: Self.address) { model, _ in
                    model.inner.inject(.holdCommand, count: 2)
                }
                let group = DispatchGroup()
                for queue in queues {
                    DispatchQueue(label: "sleeper").async(group: group) {
                        do {
                            let status = try queue.with { queue in
                                _ = unsafe queue.submitRead(of: disk, at: 0, into: iova)
                                return try queue.waitForCompletion().status
                            }
                            #expect(status == .success)
                        } catch { Issue.record(error) }
                    }
                }
                func held() -> Int { look(machine) { $0.inner.heldCommands.count } }
                while held() < 2 { usleep(100) }
                usleep(1000)
                // In both orders, and both at once.
                machine.withDevice(OddController.self, at: Self.address) { model, bus in
                    round % 3 == 0 ? model.inner.releaseAll(bus: bus) : model.inner.release(round % 2, bus: bus)
                }
                if round % 3 != 0 {
                    usleep(1000)
                    machine.withDevice(OddController.self, at: Self.address) { model, bus in
                        model.inner.releaseAll(bus: bus)
                    }
                }
                group.wait()
            }
            #expect(ContinuousClock.now - start < .seconds(60), "a queue has slept through its interrupt")
            for queue in queues { queue.drop() }
            try buffer.close()
        }
    }

    /// Where the number of vectors is fixed, all go off for another one, and the kernel refuses to switch them on again.
    ///
    /// - Parameter refusals: Of the new set of vectors, the old one, and then of the lost vector alone.
    @Test(arguments: [2, 3]) func aQueueThatHasLostItsVectorGoesOn(refusals: Int) throws {
        let machine = MockMachine(.linux6_1)
        machine.plug(NVMeModel(memoryByteCount: 0), at: Self.address)
        var options = ControllerOptions()
        // So long that a wake-up that is lost takes 10 s.
        options.commandTimeout = .seconds(80)
        let controller = try Controller(
            Device(at: Self.address, in: AddressSpace(kernel: machine.kernel)), options: options)
        let disk = try controller.namespace()
        var queue = try controller.makeQueue(depth: 2, interrupts: true)
        machine.failNextCall(.ioctl, with: .noMemory, request: .deviceSetIRQs, skipping: 1, count: refusals)
        do throws(NVMeError) {
            try controller.makeQueue(depth: 2, interrupts: true).close()
            Issue.record("a second queue")
        } catch {
            guard case .vfio(let reason) = error else {
                Issue.record(error)
                return
            }
            #expect(reason.errno == .noMemory)
        }
        let start = ContinuousClock.now
        for _ in 0..<3 {
            machine.withDevice(NVMeModel.self, at: Self.address) { model, _ in model.inject(.holdCommand) }
            let group = DispatchGroup()
            DispatchQueue(label: "beside").async(group: group) {
                func isHeld() -> Bool {
                    machine.withDevice(NVMeModel.self, at: Self.address) { model, _ in !model.heldCommands.isEmpty }
                }
                while !isHeld() { usleep(100) }
                usleep(2000)
                machine.withDevice(NVMeModel.self, at: Self.address) { model, bus in model.releaseAll(bus: bus) }
            }
            try queue.flush(disk)
            group.wait()
        }
        #expect(ContinuousClock.now - start < .seconds(5), "it has slept without an interrupt")
        // It has cost no reset, and the vector is on, or the queue polls.
        #expect(machine.withDevice(NVMeModel.self, at: Self.address) { model, _ in model.statistics.enableCount } == 1)
        let hasInterrupt = queue.hasInterrupt
        #expect(hasInterrupt == (refusals == 2))
        #expect(machine.pendingFailureCount == 0)
        try queue.close()
        // A new one is as good as the first.
        let next = try controller.makeQueue(depth: 2, interrupts: true)
        let isAsGood = next.hasInterrupt
        #expect(isAsGood)
        try closeAll(next, controller)
        #expect(machine.openFiles == [])
    }

    // MARK: Namespaces

    @Test func aFormatBeyondTheSixteenth() throws {
        var model = OddController(NVMeModel(blockByteCount: 4096, memoryByteCount: 0))
        model.identify = { cns, namespace, bytes in
            guard cns == 0, namespace == 1 else { return }
            bytes.replaceSubrange(25..<27, with: [17, 0x21])
            for format in 0...17 { bytes.replaceSubrange(128 + format * 4..<132 + format * 4, with: [0, 0, 9, 0]) }
            bytes[128 + 17 * 4 + 2] = 12
        }
        try withController(model) { controller, _ in
            let disk = try controller.namespace()
            #expect(disk.blockSize == 4096)
            var queue = try controller.makeQueue()
            try exchange(controller, &queue)
            try queue.close()
        }
    }

    /// Without the list, by version or because it is refused, they are found one by one.
    @Test(
        arguments: [(0x1_0000, []), (0x1_0100, []), (0x1_0400, [2]), (0x2_0000, [2]), (0x2_0000, [2, 3])]
            as [(UInt64, Set<UInt8>)])
    func namespacesAreFoundInEachVersion(_ version: UInt64, _ unknown: Set<UInt8>) throws {
        var model = OddController()
        model.version = version
        model.unknownIdentify = version < 0x1_0100 ? [2, 3] : unknown
        model.identify = OddController.namespaces([2, 5, 9])
        try withController(model) { controller, _ in
            let found = try controller.namespaceIDs()
            #expect(found == [2, 5, 9])
            try expectBlocks(of: 9, controller)
            let missing = refusal(of: 1, controller)
            #expect(missing == .invalidArgument("the controller has no active namespace 1"))
        }
    }

    @Test func aListMayHaveMoreThanOnePage() throws {
        var model = OddController()
        let list = (1...2050).map { UInt32($0 * 2) }
        model.identify = OddController.namespaces(list)
        try withController(model) { controller, _ in
            let found = try controller.namespaceIDs()
            #expect(found == list)
        }
    }

    @Test func aListThatGoesInCirclesEnds() throws {
        var model = OddController()
        let identify = OddController.namespaces([7])
        model.identify = { cns, namespace, bytes in
            identify(cns, namespace, &bytes)
            if cns == 2 { for offset in stride(from: 0, to: 4096, by: 4) { bytes[offset] = 7 } }
        }
        try withController(model) { controller, _ in
            let error = refusal(of: nil, controller)
            #expect(error == .protocolViolation("namespace 7 after 7 in the list of namespaces"))
        }
    }

    /// A controller that lists all numbers there are, or goes down from page to page.
    ///
    /// - Parameters:
    ///   - greatest: The greatest number, as it says.
    ///   - pages: The number of pages that have to be enough.
    @Test(
        arguments: [
            (3, false, 1, .protocolViolation("namespace 4 in the list of namespaces, of which the greatest is 3")),
            (0, false, 1, .protocolViolation("namespace 1 in the list of namespaces, of which the greatest is 0")),
            (1024, false, 1, nil),
            (
                1500, false, 2,
                .protocolViolation("namespace 1501 in the list of namespaces, of which the greatest is 1500")
            ),
            (.max, false, 64, .unsupported("a list of more than 65536 active namespaces")),
            (.max, true, 2, .protocolViolation("namespace 2 after 1025 in the list of namespaces")),
        ] as [(UInt32, Bool, Int, NVMeError?)])
    func aListWithoutEndEnds(_ greatest: UInt32, _ repeats: Bool, _ pages: Int, _ expected: NVMeError?) throws {
        var model = OddController()
        model.identify = { cns, namespace, bytes in
            if cns == 1 { OddController.put(greatest, at: 516, of: &bytes) }
            guard cns == 2 else { return }
            let first = repeats ? (namespace == 0 ? 2 : namespace - 1023) : namespace + 1
            // So that the driver as it was ends as well.
            for index in 0..<1024 {
                OddController.put(namespace < 1 << 18 ? first + UInt32(index) : 0, at: index * 4, of: &bytes)
            }
        }
        try withController(model) { controller, machine in
            func count() -> Int { look(machine) { $0.inner.statistics.adminCommandCount(opcode: 6) } }
            let before = count()
            let error = refusal(of: nil, controller)
            #expect(error == expected)
            #expect(count() == before + pages)
        }
    }

    @Test func aSearchThatWouldNotEndIsRefused() throws {
        var model = OddController()
        model.version = 0x1_0000
        model.identify = { cns, _, bytes in
            if cns == 1 { bytes.replaceSubrange(516..<520, with: [0xff, 0xff, 0xff, 0xff]) }
        }
        try withController(model) { controller, _ in
            let error = refusal(of: nil, controller)
            #expect(
                error
                    == .unsupported("a search among 4294967295 namespaces without a list of those that are active"))
        }
    }

    /// One with metadata and one of another command set, between two that can be used.
    @Test func namespacesThatCannotBeUsedDoNotMatterForOthers() throws {
        var model = OddController()
        let identify = OddController.namespaces([2, 5, 7, 9])
        model.identify = { cns, namespace, bytes in
            identify(cns, namespace, &bytes)
            if cns == 0, namespace == 5 { bytes[128] = 8 }
            if cns == 3 {
                bytes = [4, 1, 0, 0, namespace == 7 ? 2 : 0] + [UInt8](repeating: 0, count: 4091)
            }
        }
        try withController(model) { controller, _ in
            let found = try controller.namespaceIDs()
            #expect(found == [2, 5, 7, 9])
            try expectBlocks(of: 2, controller)
            let metadata = refusal(of: 5, controller)
            #expect(metadata == .unsupported("blocks with 8 bytes of metadata, which namespace 5 has"))
            let zoned = refusal(of: 7, controller)
            #expect(zoned == .unsupported("command set 2, which namespace 7 has"))
            try expectBlocks(of: 9, controller)
        }
    }

    // MARK: Quirks

    @Test func aControllerOfAnotherClassIsKnownByItsIdentity() throws {
        for (device, depth, vector) in [(0x2001, 1, 0), (0x2003, 64, 1)] as [(UInt16, Int, Int)] {
            let model = OddController(vendor: 0x106b, device: device, classCode: 0x018002)
            try withController(model) { controller, machine in
                var queue = try controller.makeQueue(interrupts: true)
                let found = (queue.depth, queue.interrupt?.number)
                #expect(found == (depth, vector))
                try exchange(controller, &queue)
                try queue.close()
            }
        }
        let machine = MockMachine()
        machine.plug(OddController(vendor: 0x106b, device: 0x2005, classCode: 0x018002), at: Self.address)
        let device = try Device(at: Self.address, in: AddressSpace(kernel: machine.kernel))
        do throws(NVMeError) {
            try Controller(device).close()
            Issue.record("it was driven")
        } catch {
            #expect(
                error
                    == .unsupported(
                        "submission entries of 128 bytes, and command identifiers that are shared by all queues, which "
                            + "0000:00:04.0 needs"))
        }
    }

    @Test func zeroMayMean64Entries() throws {
        var options = ControllerOptions()
        options.readyDelay = .milliseconds(20)
        var model = OddController(vendor: 0x144d, device: 0xa821)
        model.clearedCapabilities = 0xffff
        try withController(model, options: options) { controller, machine in
            var queue = try controller.makeQueue()
            let depth = queue.depth
            #expect(depth == 63)
            try exchange(controller, &queue)
            try queue.close()
            try controller.reset()
            #expect(look(machine) { $0.quietTime }! >= .milliseconds(20))
        }
    }

    @Test(arguments: [(0xf1a5, 2), (0x0953, 0)] as [(UInt16, UInt32)])
    func aPriorityOnlyWhereItIsNeeded(_ device: UInt16, _ priority: UInt32) throws {
        try withController(OddController(vendor: 0x8086, device: device)) { controller, machine in
            try controller.makeQueue().close()
            let flags = look(machine) { $0.submissionQueueFlags }
            #expect(flags.map { $0 >> 1 & 3 } == [priority])
        }
    }

    @Test func anEmulatedControllerWithoutAList() throws {
        for (version, commands) in [(0x1_0100, 2), (0x1_0200, 1)] as [(UInt64, Int)] {
            var model = OddController(vendor: 0x8086, device: 0x5845)
            model.version = version
            model.identify = { cns, _, bytes in
                if cns == 1 { bytes.replaceSubrange(516..<520, with: [2, 0, 0, 0]) }
            }
            try withController(model) { controller, machine in
                let before = look(machine) { $0.inner.statistics.adminCommandCount(opcode: 6) }
                let found = try controller.namespaceIDs()
                #expect(found == [1])
                #expect(look(machine) { $0.inner.statistics.adminCommandCount(opcode: 6) } == before + commands)
            }
        }
    }
}
