/// The commands of a queue: the free identifiers, the commands in flight and their submission numbers, and the
/// completions created by the driver.
///
/// It owns memory of a fixed size, so that there is no allocation or reference counting for a command.
@safe
@usableFromInline
struct SlotTable: ~Copyable, @unchecked Sendable {
    /// The maximum number of commands in flight.
    @usableFromInline let depth: Int
    /// The bits of an identifier that hold the slot; the other bits hold the lowest bits of the submission's number.
    @usableFromInline let slotBits: UInt32
    /// The mask of those bits.
    @usableFromInline let slotMask: UInt16
    /// For each slot the number of the submission in flight; 0 for none.
    @usableFromInline let submissions: UnsafeMutablePointer<UInt64>
    /// The free slots, as a stack: the last used slot is still in the cache.
    @usableFromInline let free: UnsafeMutablePointer<UInt16>
    @usableFromInline private(set) var freeCount: Int
    /// The number of submitted commands.
    @usableFromInline private(set) var submissionCount: UInt64 = 0
    /// The completions created by the driver, as a stack with a capacity of all slots.
    @usableFromInline let ended: UnsafeMutablePointer<Completion>
    @usableFromInline private(set) var endedCount = 0

    init(depth: Int) {
        self.depth = depth
        // One slot more than needed: the value with all bits set is not used, so that no identifier is FFFFh, which
        // means "no command" in the error log.
        slotBits = UInt32(Int.bitWidth - depth.leadingZeroBitCount)
        slotMask = UInt16(1 << slotBits - 1)
        unsafe submissions = .allocate(capacity: depth)
        unsafe submissions.initialize(repeating: 0, count: depth)
        unsafe free = .allocate(capacity: depth)
        unsafe ended = .allocate(capacity: depth)
        // The lowest numbers on top.
        for slot in 0..<depth { unsafe free[slot] = UInt16(depth - 1 - slot) }
        freeCount = depth
    }

    // @inlinable because the optimiser of Swift 6.3 fails otherwise, when it inlines this where a queue's slots are
    // set.
    @inlinable
    deinit {
        unsafe submissions.deallocate()
        unsafe free.deallocate()
        unsafe ended.deallocate()
    }

    /// The number of slots in use.
    @inlinable var usedCount: Int { depth &- freeCount }

    /// Takes a free slot; `nil` when there is none.
    @inlinable @inline(__always)
    mutating func take() -> UInt16? {
        guard freeCount > 0 else { return nil }
        freeCount &-= 1
        submissionCount &+= 1
        let slot = unsafe free[freeCount]
        unsafe submissions[Int(slot)] = submissionCount
        return slot
    }

    /// The command identifier for the command in a slot.
    ///
    /// The identifier changes between commands of a slot, because otherwise a duplicate completion would be taken for
    /// that of the next command.
    @inlinable @inline(__always)
    func identifier(of slot: UInt16) -> UInt16 {
        unsafe slot | UInt16(truncatingIfNeeded: UInt32(truncatingIfNeeded: submissions[Int(slot)]) &<< slotBits)
    }

    /// The slot of the command in flight with an identifier; `nil` when there is none.
    @inlinable @inline(__always)
    func slot(of identifier: UInt16) -> UInt16? {
        let slot = identifier & slotMask
        guard Int(slot) < depth, unsafe submissions[Int(slot)] != 0, self.identifier(of: slot) == identifier else {
            return nil
        }
        return slot
    }

    /// Whether the command in a slot is in flight.
    func isInFlight(_ slot: UInt16) -> Bool { unsafe Int(slot) < depth && submissions[Int(slot)] != 0 }

    /// Releases the slot of a completed command.
    ///
    /// - Returns: The slot; `nil` when no command in flight has the identifier.
    @inlinable @inline(__always)
    mutating func finish(_ identifier: UInt16) -> UInt16? {
        guard let slot = slot(of: identifier) else { return nil }
        unsafe submissions[Int(slot)] = 0
        unsafe free[freeCount] = slot
        freeCount &+= 1
        return slot
    }

    /// Stores a completion for the command in a slot, for ``takeEnded()``.
    mutating func end(_ completion: Completion) {
        unsafe submissions[Int(completion.command.rawValue)] = 0
        unsafe (ended + endedCount).initialize(to: completion)
        endedCount += 1
    }

    /// Stores a completion with this status for all commands in flight.
    mutating func endAll(_ status: CommandStatus) {
        for slot in 0..<depth where unsafe submissions[slot] != 0 {
            end(Completion(command: CommandID(rawValue: UInt16(slot)), status: status, result: 0))
        }
    }

    /// Takes one of the stored completions, and releases its slot.
    mutating func takeEnded() -> Completion? {
        guard endedCount > 0 else { return nil }
        endedCount -= 1
        let completion = unsafe ended[endedCount]
        unsafe free[freeCount] = completion.command.rawValue
        freeCount += 1
        return completion
    }

    /// The number of the oldest submission in flight.
    var oldestSubmission: UInt64? {
        var oldest: UInt64?
        for slot in 0..<depth {
            let number = unsafe submissions[slot]
            if number != 0, number < oldest ?? .max { oldest = number }
        }
        return oldest
    }
}
