public import VFIO

extension QueuePair {
    /// Submits a read of blocks into a buffer, which has to live until the command has completed.
    ///
    /// Traps when the blocks leave the buffer, and in debug builds when the buffer is in another address space than the
    /// controller.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: How many, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - buffer: Where the controller puts them.
    ///   - offset: Where in the buffer, in bytes, a multiple of 4.
    ///   - ringing: Whether the controller is told at once; otherwise ``ring()`` tells it of several.
    /// - Returns: Which command it is; `nil` when as many as the queue's depth are in flight.
    @inlinable
    public mutating func submitRead(
        of namespace: Namespace, at block: UInt64, count: Int = 1, into buffer: borrowing DMABuffer, offset: Int = 0,
        ringing: Bool = true
    ) -> CommandID? {
        let address = address(in: buffer, offset, count, namespace)
        return submitTransfer(IOCommand.read, namespace, block, count, address, ringing)
    }

    /// Submits a write of blocks from a buffer. For the rest see ``submitRead(of:at:count:into:offset:ringing:)``.
    @inlinable
    public mutating func submitWrite(
        of namespace: Namespace, at block: UInt64, count: Int = 1, from buffer: borrowing DMABuffer, offset: Int = 0,
        ringing: Bool = true
    ) -> CommandID? {
        let address = address(in: buffer, offset, count, namespace)
        return submitTransfer(IOCommand.write, namespace, block, count, address, ringing)
    }

    /// Submits a read of blocks to an address: for memory that is no ``VFIO/DMABuffer``, such as a ``VFIO/PeerMapping``.
    ///
    /// Nobody checks what is there, hence `unsafe`. More blocks than there is room for overwrite whatever is mapped
    /// behind, and so does an address of another address space than the controller's. For a buffer, hand in the buffer.
    ///
    /// - Parameters:
    ///   - namespace: The disk.
    ///   - block: The first block.
    ///   - count: How many, 1 to 65536; in bytes at most ``maximumTransferByteCount``.
    ///   - address: Where the controller puts them: memory that is mapped in its address space, at a multiple of 4.
    ///   - ringing: Whether the controller is told at once; otherwise ``ring()`` tells it of several.
    /// - Returns: Which command it is; `nil` when as many as the queue's depth are in flight.
    @inlinable
    @unsafe public mutating func submitRead(
        of namespace: Namespace, at block: UInt64, count: Int = 1, into address: IOVA, ringing: Bool = true
    ) -> CommandID? {
        submitTransfer(IOCommand.read, namespace, block, count, address.rawValue, ringing)
    }

    /// Submits a write of blocks from an address. Nobody checks what is there; for the rest see
    /// ``submitRead(of:at:count:into:ringing:)``.
    @inlinable
    @unsafe public mutating func submitWrite(
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

    /// Where the controller sees a place in a buffer that has room.
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
