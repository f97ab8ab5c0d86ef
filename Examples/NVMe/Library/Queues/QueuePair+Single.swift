public import VFIO

extension QueuePair {
    /// Reads blocks into a buffer and waits for the end of it. For one command at a time: nothing else is in flight.
    ///
    /// A command that is lost has the controller reset, and the queue works again when this throws `.timeout`.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: How many, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - buffer: Where they go, in the controller's address space.
    ///   - offset: Where in the buffer, in bytes, a multiple of 4.
    /// - Throws: `.status` with the controller's word, `.invalidArgument` when the blocks do not fit into the buffer, the
    ///   buffer is in another address space, a number is none of the above, or something else is in flight; and as
    ///   ``waitForCompletion()``.
    public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into buffer: borrowing DMABuffer, offset: Int = 0
    ) throws(NVMeError) {
        try require(buffer, offset, count, namespace)
        // In order, as just checked.
        unsafe try read(namespace, at: block, count: count, into: buffer.iova + UInt64(offset))
    }

    /// Writes blocks from a buffer and waits for the end of it. For the rest see the read into a buffer.
    public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from buffer: borrowing DMABuffer, offset: Int = 0
    ) throws(NVMeError) {
        try require(buffer, offset, count, namespace)
        unsafe try write(namespace, at: block, count: count, from: buffer.iova + UInt64(offset))
    }

    /// Reads blocks to an address and waits for the end of it: for memory that is no ``VFIO/DMABuffer``, such as one that
    /// was mapped with `AddressSpace.map`.
    ///
    /// Nobody checks what is there, hence `unsafe`. More blocks than there is room for overwrite whatever is mapped
    /// behind, and so does an address of another address space. For a buffer, hand in the buffer.
    ///
    /// - Throws: As the one for a buffer, but for what an address does not tell.
    @unsafe public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try require(address, count, namespace)
        try finish(
            unsafe submitRead(of: namespace, at: block, count: count, into: address),
            "read of \(count) blocks at \(block)")
    }

    /// Writes blocks from an address and waits for the end of it. Nobody checks what is there; for the rest see
    /// the read to an address.
    @unsafe public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try require(address, count, namespace)
        try finish(
            unsafe submitWrite(of: namespace, at: block, count: count, from: address),
            "write of \(count) blocks at \(block)")
    }

    /// Has the controller save what was written, and waits for the end of it. For the rest see
    /// the read into a buffer.
    public mutating func flush(_ namespace: Namespace) throws(NVMeError) {
        try requireIdle()
        try finish(submitFlush(of: namespace), "flush")
    }

    /// Reads blocks straight into the memory of another device.
    ///
    /// The kernel can revoke that memory at any time, so it is not asked before whether it is there: that would say
    /// nothing of the time of the DMA. And the controller need not notice that its DMA faults, since a write on PCI Express
    /// has no answer: QEMU's controller tells of success. Therefore the mapping is looked at after the command, and a
    /// revocation makes it an error, whatever the controller says, also when another thread has undone it by then. Who
    /// submits such commands without waiting for each does the same: note ``VFIO/PeerMapping/restoreCount`` before, and
    /// after the completion look at ``VFIO/PeerMapping/state``, then at the count.
    ///
    /// Only revocations that this process caused can be known. Data in the memory of another process's device needs a
    /// checksum, or that process's word.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: How many, as for a buffer.
    ///   - peer: The other device's memory, mapped into the controller's address space.
    ///   - offset: Where in the mapping the blocks go, in bytes, a multiple of 4.
    /// - Throws: `.peerRevoked`, and as for a buffer.
    public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into peer: borrowing PeerMapping, offset: UInt64 = 0
    ) throws(NVMeError) {
        try requireIdle()
        try require(peer, offset, count, namespace)
        let restores = peer.restoreCount
        let command = unsafe submitRead(of: namespace, at: block, count: count, into: peer.iova + offset)
        try finish(command, "read of \(count) blocks at \(block)", peer, restores)
    }

    /// Writes blocks straight from the memory of another device. For the rest see
    /// the read into such memory; after a revocation the blocks on the disk are of unknown content.
    public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from peer: borrowing PeerMapping, offset: UInt64 = 0
    ) throws(NVMeError) {
        try requireIdle()
        try require(peer, offset, count, namespace)
        let restores = peer.restoreCount
        let command = unsafe submitWrite(of: namespace, at: block, count: count, from: peer.iova + offset)
        try finish(command, "write of \(count) blocks at \(block)", peer, restores)
    }

    // MARK: Checks

    private func require(_ address: IOVA, _ count: Int, _ namespace: Namespace) throws(NVMeError) {
        let most = min(65536, maximumTransferByteCount >> namespace.blockShift)
        guard count >= 1, count <= most else {
            throw .invalidArgument("a command of this queue moves 1 to \(most) blocks, not \(count)")
        }
        guard address.rawValue & 3 == 0 else {
            throw .invalidArgument("data begins at a multiple of 4, not at \(address)")
        }
    }

    private func require(
        _ buffer: borrowing DMABuffer, _ offset: Int, _ count: Int, _ namespace: Namespace
    ) throws(NVMeError) {
        guard buffer.space === memory.submissions.space else {
            throw .invalidArgument("the buffer is in another address space than the controller")
        }
        guard offset >= 0, offset <= buffer.byteCount, count <= (buffer.byteCount - offset) >> namespace.blockShift
        else {
            throw .invalidArgument("\(count) blocks at offset \(offset) leave the buffer of \(buffer.byteCount) bytes")
        }
    }

    private func require(
        _ peer: borrowing PeerMapping, _ offset: UInt64, _ count: Int, _ namespace: Namespace
    ) throws(NVMeError) {
        guard peer.space === memory.submissions.space else {
            throw .invalidArgument("the mapping is in another address space than the controller")
        }
        guard offset <= peer.byteCount, count <= (peer.byteCount - offset) >> UInt64(namespace.blockShift) else {
            throw .invalidArgument("\(count) blocks at offset \(offset) leave the mapping of \(peer.byteCount) bytes")
        }
        try require(peer.iova + offset, count, namespace)
    }

    private func requireIdle() throws(NVMeError) {
        guard inFlightCount == 0 else {
            throw .invalidArgument("\(inFlightCount) commands are in flight; take their completions first")
        }
    }

    // MARK: The end of a command

    private mutating func finish(
        _ command: CommandID?, _ name: String, _ peer: borrowing PeerMapping, _ restores: UInt64
    ) throws(NVMeError) {
        var failure: CommandStatus?
        do throws(NVMeError) { try finish(command, name) } catch .status(let status, _) { failure = status }
        // In this order: a restore between the two shows in the count.
        let state = peer.state
        guard state == .live, peer.restoreCount == restores else {
            throw .peerRevoked(failure ?? .success, state, command: name)
        }
        if let failure { throw .status(failure, command: name) }
    }

    private mutating func finish(_ command: CommandID?, _ name: String) throws(NVMeError) {
        guard let command else { throw .closed }
        var failure: NVMeError?
        var completion: Completion?
        do throws(NVMeError) {
            completion = try waitForCompletion()
        } catch {
            failure = error
            // What keeps it from recovering will show with the next command; this one's error is the one to tell.
            try? recover()
            completion = nextCompletion()
        }
        guard let completion, completion.command == command else { throw failure ?? .closed }
        // It may have come while the controller was being reset.
        if completion.status.isSuccess { return }
        throw failure ?? .status(completion.status, command: name)
    }
}
