extension NVMeLabTests {
    /// How the memory that is read into is taken away.
    enum Revocation: CaseIterable, Sendable { case memoryDecode, busReset }

    /// Expects the error of a revocation. The controller itself says that all went well, as QEMU's does.
    private func expectRevoked(
        _ queue: inout QueuePair, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (inout QueuePair) throws(NVMeError) -> Void
    ) {
        do throws(NVMeError) {
            try body(&queue)
            Issue.record("it was not noticed", sourceLocation: sourceLocation)
        } catch {
            guard case .peerRevoked(.success, .revoked, _) = error else {
                Issue.record("\(error)", sourceLocation: sourceLocation)
                return
            }
        }
    }

    @Test(arguments: DiskScenario.importing, Revocation.allCases)
    func readsIntoAPeerUntilItIsRevoked(_ scenario: DiskScenario, _ revocation: Revocation) throws {
        try scenario.run { machine, space in
            let peer = try Device(at: revocation == .busReset ? machine.busMemory : machine.memory, in: space)
            try peer.config.updateCommand { $0.insert(.memoryDecode) }
            let window = try peer.exportDMABuf(of: .bar2, 0..<65536)
            let mapping = try space.map(window)
            let bar = try peer.map(.bar2, 0..<65536)
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            var queue = try controller.makeQueue(depth: 4)
            let buffer = try space.allocate(byteCount: 65536)
            let bytes = pattern(65536, seed: 9)
            buffer.copy(bytes)
            try queue.write(disk, at: 0, count: 128, from: buffer)

            for _ in 0..<2 {
                bar.copy([UInt8](repeating: 0, count: 65536))
                try queue.read(disk, at: 0, count: 128, into: mapping)
                bar.expect(bytes)
                // And from the peer's memory to the disk.
                try queue.write(disk, at: 2048, count: 128, from: mapping)
                buffer.copy([UInt8](repeating: 0, count: 65536))
                try queue.read(disk, at: 2048, count: 128, into: buffer)
                buffer.expect(bytes)

                switch revocation {
                case .memoryDecode:
                    try peer.config.updateCommand { $0.remove(.memoryDecode) }
                    try peer.config.updateCommand { $0.insert(.memoryDecode) }
                case .busReset: try peer.hotReset()
                }
                let state = mapping.state
                #expect(state == .revoked)
                bar.copy([UInt8](repeating: 0x77, count: 65536))
                expectRevoked(&queue) { (queue) throws(NVMeError) in
                    try queue.read(disk, at: 0, count: 128, into: mapping)
                }
                expectRevoked(&queue) { (queue) throws(NVMeError) in
                    try queue.write(disk, at: 4096, count: 128, from: mapping)
                }
                bar.expect([UInt8](repeating: 0x77, count: 65536))
                // Disk and driver are well.
                try queue.read(disk, at: 0, count: 128, into: buffer)
                buffer.expect(bytes)
                try mapping.restore()
            }
            expectError(.invalidArgument("128 blocks at offset 4096 leave the mapping of 65536 bytes"), with: &queue) {
                (queue) throws(NVMeError) in try queue.read(disk, at: 0, count: 128, into: mapping, offset: 4096)
            }
            try closeAll(queue, buffer, controller, bar, mapping)
            try closeAll(window, peer)
        }
    }
}
