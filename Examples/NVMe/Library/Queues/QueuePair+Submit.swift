public import VFIO

extension QueuePair {
    /// Submits a read of blocks into a buffer, which must stay allocated until the command has completed.
    ///
    /// Traps when the blocks exceed the buffer, and in debug builds when the buffer is in another address space than
    /// the controller.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: The number of blocks, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - buffer: The destination.
    ///   - offset: The offset in the buffer in bytes, a multiple of 4.
    ///   - ringing: Whether to ring the doorbell; otherwise ``ring()`` does so for several commands.
    /// - Returns: The command's identifier; `nil` when the maximum number of commands is in flight.
    @inlinable
    public mutating func submitRead(
        of namespace: Namespace, at block: UInt64, count: Int = 1, into buffer: borrowing DMABuffer, offset: Int = 0,
        ringing: Bool = true
    ) -> CommandID? {
        let address = address(in: buffer, offset, count, namespace)
        return submitTransfer(IOCommand.read, namespace, block, count, address, ringing)
    }

    /// Submits a write of blocks from a buffer. See ``submitRead(of:at:count:into:offset:ringing:)`` for parameters.
    @inlinable
    public mutating func submitWrite(
        of namespace: Namespace, at block: UInt64, count: Int = 1, from buffer: borrowing DMABuffer, offset: Int = 0,
        ringing: Bool = true
    ) -> CommandID? {
        let address = address(in: buffer, offset, count, namespace)
        return submitTransfer(IOCommand.write, namespace, block, count, address, ringing)
    }

    /// Submits a read of blocks to an address: for memory that is no ``VFIO/DMABuffer``, such as a
    /// ``VFIO/PeerMapping``.
    ///
    /// The address is not checked, hence `unsafe`. If there is not enough memory, or the address is of another address
    /// space, the controller overwrites whatever is mapped there. For a buffer, use the overload for buffers.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: The number of blocks, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - address: The destination: memory that is mapped in the controller's address space, at a multiple of 4.
    ///   - ringing: Whether to ring the doorbell; otherwise ``ring()`` does so for several commands.
    /// - Returns: The command's identifier; `nil` when the maximum number of commands is in flight.
    @inlinable
    @unsafe public mutating func submitRead(
        of namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA, ringing: Bool = true
    ) -> CommandID? {
        submitTransfer(IOCommand.read, namespace, block, count, address.rawValue, ringing)
    }

    /// Submits a write of blocks from an address. The address is not checked; see
    /// ``submitRead(of:at:count:into:ringing:)``.
    @inlinable
    @unsafe public mutating func submitWrite(
        of namespace: Namespace, at block: UInt64, count: Int = 1, from address: IOVA, ringing: Bool = true
    ) -> CommandID? {
        submitTransfer(IOCommand.write, namespace, block, count, address.rawValue, ringing)
    }

    /// Submits a flush: when it completes, all data written before is on the medium.
    @inlinable
    public mutating func submitFlush(of namespace: Namespace, ringing: Bool = true) -> CommandID? {
        // It has no data.
        unsafe submit(SubmissionEntry(opcode: IOCommand.flush, namespace: namespace.id), ringing: ringing)
    }

    /// Submits any command.
    ///
    /// Unsafe, because its addresses are not checked: the controller reads or overwrites whatever is mapped there.
    @inlinable
    @unsafe public mutating func submit(_ entry: SubmissionEntry, ringing: Bool = true) -> CommandID? {
        guard let slot = slots.take() else { return nil }
        return write(entry, CommandID(rawValue: slot), ringing)
    }

    /// Rings the submission doorbell for the commands submitted since the last ring: one store.
    @inlinable @inline(__always)
    public mutating func ring() {
        guard rungTail != tail else { return }
        rungTail = tail
        registers.registers.writeReleasing32(UInt32(truncatingIfNeeded: tail), at: submissionDoorbell)
    }

    /// The IOVA of an offset in a buffer, after a bounds check.
    @inlinable @inline(__always)
    func address(
        in buffer: borrowing DMABuffer, _ offset: Int, _ count: Int, _ namespace: Namespace
    ) -> UInt64 {
        precondition(
            offset >= 0 && offset <= buffer.byteCount && count <= (buffer.byteCount &- offset) &>> namespace.blockShift,
            "the blocks leave the buffer")
        assert(buffer.space === memory.submissions.space, "the buffer is in another address space")
        return buffer.iova.rawValue &+ UInt64(truncatingIfNeeded: offset)
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
            lists: memory.listMemory, at: listOffset,
            listAddress: memory.listAddress &+ UInt64(truncatingIfNeeded: listOffset))
        let entry = SubmissionEntry(
            opcode: opcode, namespace: namespace.id, data: data.first, moreData: data.second, dwords10And11: block,
            dwords12And13: UInt64(truncatingIfNeeded: count &- 1))
        return write(entry, CommandID(rawValue: slot), ringing)
    }

    /// Writes a command to the ring.
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
