/// The commands of a queue: which identifiers are free, which are in flight and since when, and which have ended without
/// the controller's word.
///
/// Memory of its own, of a fixed size, so that nothing is allocated or counted for a command.
@safe
@usableFromInline
struct SlotTable: ~Copyable, @unchecked Sendable {
    /// How many commands can be in flight.
    @usableFromInline let depth: Int
    /// The bits of an identifier that hold the slot; the others hold the lowest bits of the submission's number.
    @usableFromInline let slotBits: UInt32
    /// Those bits.
    @usableFromInline let slotMask: UInt16
    /// For each slot the number of the submission that is in flight; 0 for none.
    @usableFromInline let submissions: UnsafeMutablePointer<UInt64>
    /// The free slots, as a stack: what was used last is still in the cache.
    @usableFromInline let free: UnsafeMutablePointer<UInt16>
    @usableFromInline private(set) var freeCount: Int
    /// How many commands were submitted in the life of the queue.
    @usableFromInline private(set) var submissionCount: UInt64 = 0
    /// The ends that the driver has decided upon, as a stack, with room for all slots.
    @usableFromInline let ended: UnsafeMutablePointer<Completion>
    @usableFromInline private(set) var endedCount = 0

    init(depth: Int) {
        self.depth = depth
        // One slot more than there are: the bits that are all ones belong to none, so that no identifier is FFFFh, which
        // the error log has for "no command".
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

    // The optimiser of Swift 6.3 fails on one that is not: it inlines it where a queue's slots are set.
    @inlinable
    deinit {
        unsafe submissions.deallocate()
        unsafe free.deallocate()
        unsafe ended.deallocate()
    }

    /// The commands that have not been taken back yet.
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

    /// What the controller is to call the command in a slot.
    ///
    /// A completion that comes twice would be taken for that of the next command in the slot. So the identifier changes
    /// from one to the other.
    @inlinable @inline(__always)
    func identifier(of slot: UInt16) -> UInt16 {
        unsafe slot | UInt16(truncatingIfNeeded: UInt32(truncatingIfNeeded: submissions[Int(slot)]) &<< slotBits)
    }

    /// The slot of a command in flight, by its identifier; `nil` when none in flight has it.
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

    /// Gives a slot back whose command has ended.
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

    /// Notes the end of the command in a slot, for ``takeEnded()`` to give out.
    mutating func end(_ completion: Completion) {
        unsafe submissions[Int(completion.command.rawValue)] = 0
        unsafe (ended + endedCount).initialize(to: completion)
        endedCount += 1
    }

    /// Notes for all commands in flight that they have ended with this status.
    mutating func endAll(_ status: CommandStatus) {
        for slot in 0..<depth where unsafe submissions[slot] != 0 {
            end(Completion(command: CommandID(rawValue: UInt16(slot)), status: status, result: 0))
        }
    }

    /// Gives out one of the ends that were noted, and its slot back.
    mutating func takeEnded() -> Completion? {
        guard endedCount > 0 else { return nil }
        endedCount -= 1
        let completion = unsafe ended[endedCount]
        unsafe free[freeCount] = completion.command.rawValue
        freeCount += 1
        return completion
    }

    /// The oldest submission in flight, by number.
    var oldestSubmission: UInt64? {
        var oldest: UInt64?
        for slot in 0..<depth {
            let number = unsafe submissions[slot]
            if number != 0, number < oldest ?? .max { oldest = number }
        }
        return oldest
    }
}
