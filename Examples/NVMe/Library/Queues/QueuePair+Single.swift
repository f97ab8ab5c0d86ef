public import VFIO

extension QueuePair {
    /// Reads blocks into a buffer and waits for completion. No other command may be in flight.
    ///
    /// If the command times out, the controller is reset, and the queue works again when this throws `.timeout`.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: The number of blocks, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - buffer: The destination, in the controller's address space.
    ///   - offset: The offset in the buffer in bytes, a multiple of 4.
    /// - Throws: `.status` with the controller's status, `.invalidArgument` when the blocks do not fit into the buffer,
    ///   the buffer is in another address space, an argument is out of range, or another command is in flight; and as
    ///   ``waitForCompletion()``.
    public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into buffer: borrowing DMABuffer, offset: Int = 0
    ) throws(NVMeError) {
        try require(buffer, offset, count, namespace)
        // The arguments have been checked above.
        unsafe try read(namespace, at: block, count: count, into: buffer.iova + UInt64(offset))
    }

    /// Writes blocks from a buffer and waits for completion. See the read into a buffer for parameters and errors.
    public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from buffer: borrowing DMABuffer, offset: Int = 0
    ) throws(NVMeError) {
        try require(buffer, offset, count, namespace)
        unsafe try write(namespace, at: block, count: count, from: buffer.iova + UInt64(offset))
    }

    /// Reads blocks to an address and waits for completion. This is for memory that is no ``VFIO/DMABuffer``, such as
    /// memory mapped with `AddressSpace.map`.
    ///
    /// The address is not checked, hence `unsafe`. If there is not enough memory, or the address is of another address
    /// space, the controller overwrites whatever is mapped there. For a buffer, use the overload for buffers.
    ///
    /// - Throws: As the overload for a buffer, except for errors that depend on the buffer.
    @unsafe public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try require(address, count, namespace)
        try finish(
            unsafe submitRead(of: namespace, at: block, count: count, into: address),
            "read of \(count) blocks at \(block)")
    }

    /// Writes blocks from an address and waits for completion. The address is not checked; see the read to an address.
    @unsafe public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try require(address, count, namespace)
        try finish(
            unsafe submitWrite(of: namespace, at: block, count: count, from: address),
            "write of \(count) blocks at \(block)")
    }

    /// Flushes the controller's write cache and waits for completion. See the read into a buffer for errors.
    public mutating func flush(_ namespace: Namespace) throws(NVMeError) {
        try requireIdle()
        try finish(submitFlush(of: namespace), "flush")
    }

    /// Reads blocks directly into the memory of another device.
    ///
    /// The kernel can revoke that memory at any time, so a check before the command would not cover the time of the
    /// DMA. The controller may not detect that its DMA faults, because memory writes on PCI Express are posted: QEMU's
    /// controller reports success. Therefore the mapping is checked after the command, and a revocation is an error
    /// regardless of the controller's status, also when another thread has restored the mapping by then. Callers that
    /// submit such commands without waiting for each must do the same: record ``VFIO/PeerMapping/restoreCount`` before,
    /// and after the completion check ``VFIO/PeerMapping/state``, then the count.
    ///
    /// Only revocations by this process are detected. Data in the memory of another process's device needs a checksum,
    /// or a confirmation by that process.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: The number of blocks, as for a buffer.
    ///   - peer: The other device's memory, mapped into the controller's address space.
    ///   - offset: The offset in the mapping in bytes, a multiple of 4.
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

    /// Writes blocks directly from the memory of another device. See the read into such memory; after a revocation the
    /// blocks on the disk have unknown content.
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
        // In this order, so that a restore between the two changes the count.
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
            do throws(NVMeError) { try recover() } catch .notStopped(let why) {
                // The controller may still access the command's memory, which whoever calls would free.
                throw .notStopped(why)
            } catch {
                // Reported by the next command; this command's error has precedence.
            }
            completion = nextCompletion()
        }
        guard let completion, completion.command == command else { throw failure ?? .closed }
        // The completion may have arrived during the reset.
        if completion.status.isSuccess { return }
        throw failure ?? .status(completion.status, command: name)
    }
}
