public import VFIO

extension QueuePair {
    /// Reads blocks and waits for the end of it. For one command at a time: nothing else is in flight.
    ///
    /// A command that is lost has the controller reset, and the queue works again when this throws `.timeout`.
    ///
    /// - Throws: `.status` with the controller's word, `.invalidArgument` when something else is in flight, and as
    ///   ``waitForCompletion()``.
    public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try finish(
            submitRead(of: namespace, at: block, count: count, into: address), "read of \(count) blocks at \(block)")
    }

    /// Writes blocks and waits for the end of it. For the rest see ``read(_:at:count:into:)``.
    public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from address: IOVA
    ) throws(NVMeError) {
        try requireIdle()
        try finish(
            submitWrite(of: namespace, at: block, count: count, from: address), "write of \(count) blocks at \(block)")
    }

    /// Has the controller save what was written, and waits for the end of it. For the rest see
    /// ``read(_:at:count:into:)``.
    public mutating func flush(_ namespace: Namespace) throws(NVMeError) {
        try requireIdle()
        try finish(submitFlush(of: namespace), "flush")
    }

    /// Reads blocks straight into the memory of another device.
    ///
    /// The kernel can revoke that memory at any time, so it is not asked before whether it is there: that would say
    /// nothing of the time of the DMA. And the controller need not notice that its DMA faults, since a write on PCI Express
    /// has no answer: QEMU's controller tells of success. Therefore the mapping is looked at after the command, and a
    /// revocation makes it an error, whatever the controller says. Who submits such commands without waiting for each has
    /// to look at ``VFIO/PeerMapping/state`` in the same way, after the completion.
    ///
    /// Only revocations that this process caused can be known. Data in the memory of another process's device needs a
    /// checksum, or that process's word.
    ///
    /// - Parameters:
    ///   - offset: Where in the mapping the blocks go, in bytes.
    /// - Throws: `.peerRevoked`, and as ``read(_:at:count:into:)``.
    public mutating func read(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, into peer: borrowing PeerMapping, offset: UInt64 = 0
    ) throws(NVMeError) {
        try requireIdle()
        try requireRoom(in: peer, offset, count, namespace)
        let command = submitRead(of: namespace, at: block, count: count, into: peer.iova + offset)
        try finish(command, "read of \(count) blocks at \(block)", peer)
    }

    /// Writes blocks straight from the memory of another device. For the rest see
    /// ``read(_:at:count:into:offset:)``; after a revocation the blocks on the disk are of unknown content.
    public mutating func write(
        _ namespace: Namespace, at block: UInt64, count: Int = 1, from peer: borrowing PeerMapping, offset: UInt64 = 0
    ) throws(NVMeError) {
        try requireIdle()
        try requireRoom(in: peer, offset, count, namespace)
        let command = submitWrite(of: namespace, at: block, count: count, from: peer.iova + offset)
        try finish(command, "write of \(count) blocks at \(block)", peer)
    }

    private func requireRoom(
        in peer: borrowing PeerMapping, _ offset: UInt64, _ count: Int, _ namespace: Namespace
    ) throws(NVMeError) {
        guard offset <= peer.byteCount, UInt64(count) << UInt64(namespace.blockShift) <= peer.byteCount - offset else {
            throw .invalidArgument("\(count) blocks at offset \(offset) leave the mapping of \(peer.byteCount) bytes")
        }
    }

    private mutating func finish(
        _ command: CommandID?, _ name: String, _ peer: borrowing PeerMapping
    ) throws(NVMeError) {
        var status = CommandStatus.success
        do throws(NVMeError) {
            try finish(command, name)
        } catch .status(let failure, let command) {
            guard peer.state != .live else { throw .status(failure, command: command) }
            status = failure
        }
        guard peer.state == .live else { throw .peerRevoked(status, command: name) }
    }

    private func requireIdle() throws(NVMeError) {
        guard inFlightCount == 0 else {
            throw .invalidArgument("\(inFlightCount) commands are in flight; take their completions first")
        }
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
