/// What the driver refuses, so that no command reaches beyond the memory that was meant.
@Suite struct CheckedMemoryTests {
    private let machine = MockedDiskMachine()

    /// Lets a test work with a queue and two buffers, of which the second is right behind the first.
    private func withQueue(
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (inout QueuePair, Namespace, AddressSpace, borrowing DMABuffer, borrowing DMABuffer) throws -> Void
    ) throws {
        try machine.run(sourceLocation) { space in
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            let first = try space.allocate(byteCount: 4096)
            let second = try space.allocate(byteCount: 4096)
            var queue = try controller.makeQueue(depth: 8, maximumTransferByteCount: 8192)
            try body(&queue, disk, space, first, second)
            let commands = machine.withDisk {
                ($0.statistics.commandCount(opcode: 1), $0.statistics.commandCount(opcode: 2))
            }
            #expect(commands == (1, 1), "a command that was to be refused was sent", sourceLocation: sourceLocation)
            try closeAll(queue, first, second, controller)
        }
    }

    /// One write and one read that are in order, at the ends of the buffers.
    private func useWell(
        _ queue: inout QueuePair, _ disk: Namespace, _ first: borrowing DMABuffer, _ second: borrowing DMABuffer
    ) throws {
        let bytes = pattern(4096)
        first.copy(bytes)
        try queue.write(disk, at: 0, count: 7, from: first, offset: 512)
        try queue.read(disk, at: 0, count: 7, into: second, offset: 512)
        second.expect(Array(bytes[512...]), at: 512)
    }

    @Test(arguments: [(9, 0), (8, 4), (1, 3588), (1, 4096), (1, 4097), (1, -512), (1, Int.max), (1, Int.min)])
    func blocksThatLeaveTheBufferAreRefused(_ count: Int, _ offset: Int) throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let refusal = NVMeError.invalidArgument(
                "\(count) blocks at offset \(offset) leave the buffer of 4096 bytes")
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(disk, at: 0, count: count, into: first, offset: offset)
            }
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                try queue.write(disk, at: 0, count: count, from: first, offset: offset)
            }
        }
    }

    @Test(arguments: [0, -1, 17, 65537, Int.max, Int.min])
    func numbersOfBlocksThatNoCommandMovesAreRefused(_ count: Int) throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let refusal = NVMeError.invalidArgument("a command of this queue moves 1 to 16 blocks, not \(count)")
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                unsafe try queue.read(disk, at: 0, count: count, into: first.iova)
            }
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                unsafe try queue.write(disk, at: 0, count: count, from: first.iova)
            }
        }
    }

    @Test func placesThatAreNoMultipleOfFourAreRefused() throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let refusal = NVMeError.invalidArgument("data begins at a multiple of 4, not at \(first.iova + 2)")
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(disk, at: 0, into: first, offset: 2)
            }
            expectError(refusal, with: &queue) { (queue) throws(NVMeError) in
                unsafe try queue.write(disk, at: 0, from: first.iova + 2)
            }
        }
    }

    @Test func memoryOfAnotherAddressSpaceIsRefused() throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let other = try AddressSpace(.iommufd, kernel: machine.kernel)
            let buffer = try other.allocate(byteCount: 4096)
            let foreign = NVMeError.invalidArgument("the buffer is in another address space than the controller")
            expectError(foreign, with: &queue) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, into: buffer)
            }
            expectError(foreign, with: &queue) { (queue) throws(NVMeError) in try queue.write(disk, at: 0, from: buffer)
            }
            let peer = try Device(at: machine.memory, in: other)
            try peer.config.updateCommand { $0.insert(.memoryDecode) }
            let window = try peer.exportDMABuf(of: .bar2, 0..<4096)
            let mapping = try other.map(window)
            let foreignPeer = NVMeError.invalidArgument("the mapping is in another address space than the controller")
            expectError(foreignPeer, with: &queue) { (queue) throws(NVMeError) in
                try queue.read(disk, at: 0, into: mapping)
            }
            expectError(foreignPeer, with: &queue) { (queue) throws(NVMeError) in
                try queue.write(disk, at: 0, from: mapping)
            }
        }
    }

    @Test func peersAreCheckedForRoom() throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let peer = try Device(at: machine.memory, in: space)
            try peer.config.updateCommand { $0.insert(.memoryDecode) }
            let window = try peer.exportDMABuf(of: .bar2, 0..<4096)
            let mapping = try space.map(window)
            expectError(
                .invalidArgument("9 blocks at offset 0 leave the mapping of 4096 bytes"), with: &queue
            ) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, count: 9, into: mapping) }
            expectError(
                .invalidArgument("a command of this queue moves 1 to 16 blocks, not -1"), with: &queue
            ) { (queue) throws(NVMeError) in try queue.write(disk, at: 0, count: -1, from: mapping) }
            expectError(
                .invalidArgument("1 blocks at offset \(UInt64.max) leave the mapping of 4096 bytes"), with: &queue
            ) { (queue) throws(NVMeError) in try queue.read(disk, at: 0, into: mapping, offset: .max) }
        }
    }

    @Test func aDeadPeerIsToldAsSuch() throws {
        try withQueue { queue, disk, space, first, second in
            try useWell(&queue, disk, first, second)
            let peer = try Device(at: machine.memory, in: space)
            try peer.config.updateCommand { $0.insert(.memoryDecode) }
            let mapping = try space.map(peer.exportDMABuf(of: .bar2, 0..<4096))
            try peer.close()
            expectEqual(mapping.state, .exporterClosed)
        }
        let text = NVMeError.peerRevoked(.success, .exporterClosed, command: "it").description
        #expect(
            text.hasSuffix(
                "; its device was closed, so open it, export its memory and map it anew, and send the command again"))
        let other = NVMeError.peerRevoked(.success, .revoked, command: "it").description
        #expect(other.hasSuffix("; restore() the mapping, and send the command again"))
        let restored = NVMeError.peerRevoked(.success, .live, command: "it").description
        #expect(
            restored
                == "it failed: the memory of the other device was revoked and restored meanwhile, and the data may be lost, "
                + "though the controller says: \(CommandStatus.success); send the command again")
    }

    @Test func aQueueTakesCommandsForBuffers() throws {
        try withQueue { queue, disk, space, first, second in
            first.copy(pattern(4096))
            _ = try submitted(queue.submitWrite(of: disk, at: 0, count: 1, from: first, offset: 3584))
            let end = try queue.waitForCompletion()
            #expect(end.status == .success)
            _ = try submitted(queue.submitRead(of: disk, at: 0, count: 1, into: second, offset: 4))
            let next = try queue.waitForCompletion()
            #expect(next.status == .success)
            second.expect(Array(pattern(4096)[3584...]), at: 4)
        }
    }

    @Test func aQueueTrapsWhenBlocksLeaveTheBuffer() async {
        await #expect(processExitsWith: .failure) {
            let machine = MockedDiskMachine()
            let space = try AddressSpace(kernel: machine.kernel)
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            let buffer = try space.allocate(byteCount: 4096)
            var queue = try controller.makeQueue()
            _ = queue.submitRead(of: disk, at: 0, count: 9, into: buffer)
        }
    }
}
