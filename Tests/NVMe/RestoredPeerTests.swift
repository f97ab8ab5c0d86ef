import Dispatch
import Synchronization

/// A peer's memory that is taken away and restored by another thread, before the driver has looked at it.
@Suite(.timeLimit(.minutes(15)))
struct RestoredPeerTests {
    /// The disk does not notice that its DMA is refused, as QEMU's does not.
    private let machine = MockedDiskMachine.ofTheLab

    /// Expects a transfer to fail during which the mapping was restored.
    ///
    /// - Parameter revokesFirst: Whether the memory is away when the command is submitted, so that its data is lost.
    private func expectLoss(
        _ peer: SharedPeer, _ queue: inout QueuePair, revokesFirst: Bool,
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (inout QueuePair) throws(NVMeError) -> Void
    ) throws {
        machine.withDisk { $0.inject(.holdCompletion) }
        if revokesFirst { try peer.revoke() }
        let group = DispatchGroup()
        let isOver = Atomic<Bool>(false)
        let machine = machine
        // Of its own, since the threads that queues share may all be busy with tests that wait.
        DispatchQueue(label: "beside").async(group: group) {
            while machine.withDisk({ $0.heldCommands.isEmpty }) {
                if isOver.load(ordering: .acquiring) { return }
            }
            do {
                if !revokesFirst { try peer.revoke() }
                try peer.mapping.restore()
            } catch { Issue.record(error, sourceLocation: sourceLocation) }
            machine.machine.withDevice(NVMeModel.self, at: machine.disk) { disk, bus in disk.releaseAll(bus: bus) }
        }
        do throws(NVMeError) {
            try body(&queue)
            Issue.record("it was not noticed", sourceLocation: sourceLocation)
        } catch {
            switch error {
            case .peerRevoked(.success, .live, _): break
            default: Issue.record(error, sourceLocation: sourceLocation)
            }
        }
        isOver.store(true, ordering: .releasing)
        group.wait()
        #expect(peer.mapping.state == .live, sourceLocation: sourceLocation)
    }

    @Test(arguments: [false, true]) func isToldOfATransferThatMayHaveLostData(revokesFirst: Bool) throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            let peer = try SharedPeer(Device(at: machine.memory, in: space), in: space)
            let buffer = try space.allocate(byteCount: 4096)
            // The command is held for as long as the other thread takes.
            var queue = try controller.makeQueue(depth: 4)
            queue.commandTimeout = .seconds(100)
            buffer.copy(pattern(4096))
            try queue.write(disk, at: 0, count: 8, from: buffer)

            try expectLoss(peer, &queue, revokesFirst: revokesFirst) { (queue) throws(NVMeError) in
                try queue.read(disk, at: 0, count: 8, into: peer.mapping)
            }
            let bar = try peer.device.map(.bar2, 0..<4096)
            bar.expect(revokesFirst ? [UInt8](repeating: 0, count: 4096) : pattern(4096))
            try expectLoss(peer, &queue, revokesFirst: revokesFirst) { (queue) throws(NVMeError) in
                try queue.write(disk, at: 8, count: 8, from: peer.mapping)
            }
            #expect(peer.mapping.restoreCount == 2)

            // What was restored before a transfer is of no account to it.
            try queue.read(disk, at: 0, count: 8, into: peer.mapping)
            bar.expect(pattern(4096))
            try closeAll(bar, queue, buffer, controller)
        }
    }
}
