public import VFIO

extension QueuePair {
    /// Takes the next completion, if there is one. Does not wait, and touches no register but to tell the controller now
    /// and then how far it has come.
    @inlinable @inline(__always)
    public mutating func nextCompletion() -> Completion? {
        var isStray = false
        let completion = takeEntry(&isStray)
        return isStray ? skipStrays() : completion
    }

    /// Takes the entry at the head of the ring, if it is new.
    ///
    /// - Parameter isStray: Becomes `true` when it is for no command that is in flight.
    @inlinable @inline(__always)
    mutating func takeEntry(_ isStray: inout Bool) -> Completion? {
        let offset = RingMemory.offset(of: head, byteShift: 4)
        // Dword 3: identifier, phase, status. What the controller has written before the phase is read after it.
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

    /// Counts the stray entry that was taken, for check() to tell, and takes the next one that is none.
    ///
    /// Not part of the usual way: with a loop there the compiler prepares for its second round, for each command.
    @usableFromInline @inline(never)
    mutating func skipStrays() -> Completion? {
        while true {
            strayCount &+= 1
            var isStray = false
            let completion = takeEntry(&isStray)
            if !isStray { return completion }
        }
    }

    /// Tells the controller how far the completions were taken, so that their places are free again.
    ///
    /// It is done by itself often enough; before a wait for an interrupt that is not this library's, it is to be done.
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

    /// Whether a completion has come that was not taken.
    var hasCompletion: Bool {
        memory.completions.readAcquiring32(at: head &<< 4 &+ 12) & (1 << 16) == phase || slots.endedCount > 0
    }
}
