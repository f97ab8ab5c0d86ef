public import VFIO

extension QueuePair {
    /// Takes the next completion, if there is one. Does not wait, and touches no register but to tell the controller now
    /// and then how far it has come.
    @inlinable @inline(__always)
    public mutating func nextCompletion() -> Completion? {
        while true {
            let offset = head &<< 4
            // Dword 3: identifier, phase, status. What the controller has written before the phase is read after it.
            let word = memory.completions.readAcquiring32(at: offset &+ 12)
            guard word & (1 << 16) == phase else {
                return slots.endedCount == 0 ? nil : takeEnded()
            }
            let result = memory.completions.read32(at: offset)
            advance()
            if let slot = slots.finish(UInt16(truncatingIfNeeded: word)) {
                return Completion(
                    command: CommandID(rawValue: slot), status: CommandStatus(rawValue: UInt16(word >> 17)),
                    result: result)
            }
            // For no command that is in flight: check() tells.
            strayCount &+= 1
        }
    }

    /// Tells the controller how far the completions were taken, so that their places are free again.
    ///
    /// It is done by itself often enough; before a wait for an interrupt that is not this library's, it is to be done.
    @inlinable
    public mutating func acknowledge() {
        guard unacknowledged > 0 else { return }
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
        if unacknowledged >= acknowledgementLimit { acknowledge() }
    }

    @usableFromInline @inline(never)
    mutating func takeEnded() -> Completion? { slots.takeEnded() }

    /// Whether a completion has come that was not taken.
    var hasCompletion: Bool {
        memory.completions.readAcquiring32(at: head &<< 4 &+ 12) & (1 << 16) == phase || slots.endedCount > 0
    }
}
