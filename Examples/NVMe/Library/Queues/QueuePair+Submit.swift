public import VFIO

extension QueuePair {
    /// Submits a read of blocks.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: How many, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - address: Where the controller puts them: memory that is mapped in its address space, a ``VFIO/DMABuffer`` or a
    ///     ``VFIO/PeerMapping``, at a multiple of 4.
    ///   - ringing: Whether the controller is told at once; otherwise ``ring()`` tells it of several.
    /// - Returns: Which command it is; `nil` when as many as the queue's depth are in flight.
    @inlinable
    public mutating func submitRead(
        of namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA, ringing: Bool = true
    ) -> CommandID? {
        submitTransfer(IOCommand.read, namespace, block, count, address.rawValue, ringing)
    }

    /// Submits a write of blocks. For the parameters see ``submitRead(of:at:count:into:ringing:)``.
    @inlinable
    public mutating func submitWrite(
        of namespace: Namespace, at block: UInt64, count: Int = 1, from address: IOVA, ringing: Bool = true
    ) -> CommandID? {
        submitTransfer(IOCommand.write, namespace, block, count, address.rawValue, ringing)
    }

    /// Submits a flush: what was written before it is on the medium when it completes.
    @inlinable
    public mutating func submitFlush(of namespace: Namespace, ringing: Bool = true) -> CommandID? {
        submit(SubmissionEntry(opcode: IOCommand.flush, namespace: namespace.id), ringing: ringing)
    }

    /// Submits a command of any kind, whose addresses the caller has filled in.
    @inlinable
    public mutating func submit(_ entry: SubmissionEntry, ringing: Bool = true) -> CommandID? {
        guard let slot = slots.take() else { return nil }
        return write(entry, CommandID(rawValue: slot), ringing)
    }

    /// Tells the controller of the commands that were submitted since it was last told: one store.
    @inlinable @inline(__always)
    public mutating func ring() {
        guard rungTail != tail else { return }
        rungTail = tail
        registers.registers.writeReleasing32(UInt32(truncatingIfNeeded: tail), at: submissionDoorbell)
    }

    @inlinable @inline(__always)
    mutating func submitTransfer(
        _ opcode: UInt8, _ namespace: Namespace, _ block: UInt64, _ count: Int, _ address: UInt64, _ ringing: Bool
    ) -> CommandID? {
        precondition(count > 0 && count <= 65536, "a command moves 1 to 65536 blocks")
        let byteCount = count &<< namespace.blockShift
        precondition(byteCount <= memory.maximumTransferByteCount, "more than the queue's commands can move")
        precondition(address & 3 == 0, "data begins at a multiple of 4")
        guard let slot = slots.take() else { return nil }
        let listOffset = Int(slot) &<< memory.listShift
        let data = DataPointer(
            to: address, byteCount: UInt64(truncatingIfNeeded: byteCount), pageSize: memory.pageSize,
            lists: memory.lists, at: listOffset,
            listAddress: memory.lists.iova.rawValue &+ UInt64(truncatingIfNeeded: listOffset))
        let entry = SubmissionEntry(
            opcode: opcode, namespace: namespace.id, data: data.first, moreData: data.second, dwords10And11: block,
            dwords12And13: UInt64(truncatingIfNeeded: count &- 1))
        return write(entry, CommandID(rawValue: slot), ringing)
    }

    /// Puts a command into the ring.
    @inlinable @inline(__always)
    mutating func write(_ entry: SubmissionEntry, _ command: CommandID, _ ringing: Bool) -> CommandID {
        entry.store(
            to: memory.submissionRing, at: RingMemory.offset(of: tail, byteShift: 6),
            as: slots.identifier(of: command.rawValue))
        tail &+= 1
        if tail == memory.submissionEntryCount { tail = 0 }
        if ringing { ring() }
        return command
    }
}
