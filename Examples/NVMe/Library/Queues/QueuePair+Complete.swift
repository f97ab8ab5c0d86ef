public import VFIO

extension QueuePair {
    /// Returns the next completion, if there is one. Does not wait, and accesses no register except the completion
    /// doorbell, which is written periodically.
    @inlinable @inline(__always)
    public mutating func nextCompletion() -> Completion? {
        var isStray = false
        let completion = takeEntry(&isStray)
        return isStray ? skipStrays() : completion
    }

    /// Takes the entry at the head of the ring, if it is new.
    ///
    /// - Parameter isStray: Set to `true` when the entry is for no command in flight.
    @inlinable @inline(__always)
    mutating func takeEntry(_ isStray: inout Bool) -> Completion? {
        let offset = RingMemory.offset(of: head, byteShift: 4)
        // Dword 3: identifier, phase, status. The acquire orders the reads of the other dwords after that of the phase.
        let word = memory.completionRing.readAcquiring32(at: offset &+ 12)
        guard word & (1 << 16) == phase else {
            return slots.endedCount == 0 ? nil : takeEnded()
        }
        let result = memory.completionRing.read32(at: offset)
        advance()
        guard let slot = slots.finish(UInt16(truncatingIfNeeded: word)) else {
            isStray = true
            return nil
        }
        return Completion(
            command: CommandID(rawValue: slot), status: CommandStatus(rawValue: UInt16(word >> 17)), result: result)
    }

    /// Counts a stray entry, which check() reports, and takes the next valid one.
    ///
    /// Out of line: with a loop on the fast path the compiler would prepare its second iteration for each command.
    @usableFromInline @inline(never)
    mutating func skipStrays() -> Completion? {
        while true {
            strayCount &+= 1
            var isStray = false
            let completion = takeEntry(&isStray)
            if !isStray { return completion }
        }
    }

    /// Writes the completion doorbell, so that the controller can reuse the entries that were taken.
    ///
    /// It is called automatically; call it explicitly before waiting for an interrupt without this library.
    @inlinable
    public mutating func acknowledge() {
        if unacknowledged > 0 { tellHead() }
    }

    @inlinable @inline(__always)
    mutating func tellHead() {
        unacknowledged = 0
        registers.registers.write32(UInt32(truncatingIfNeeded: head), at: completionDoorbell)
    }

    @inlinable @inline(__always)
    mutating func advance() {
        head &+= 1
        if head == memory.completionEntryCount {
            head = 0
            phase ^= 1 << 16
        }
        unacknowledged &+= 1
        if unacknowledged >= acknowledgementLimit { tellHead() }
    }

    @usableFromInline @inline(never)
    mutating func takeEnded() -> Completion? { slots.takeEnded() }

    /// Whether a completion has arrived that was not taken.
    var hasCompletion: Bool {
        memory.completions.readAcquiring32(at: head &<< 4 &+ 12) & (1 << 16) == phase || slots.endedCount > 0
    }
}
