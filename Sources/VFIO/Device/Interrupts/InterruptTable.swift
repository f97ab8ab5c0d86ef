internal import SystemPackage

/// The owner of a vector that is on.
protocol VectorOwner: AnyObject, Sendable {
    /// The eventfd that the kernel signals.
    var event: FileDescriptor { get }

    /// Called when the vector went off without its owner: the kernel did not switch it on again.
    func vectorWasLost(_ errno: Errno)
}

/// The interrupts of a device that are on, and their owners.
struct InterruptTable: Sendable {
    private struct Entry: Sendable {
        let event: FileDescriptor
        /// Identifies the owner also while it is being deinitialized. It removes the entry before its memory is freed.
        let identity: ObjectIdentifier
        weak let owner: (any VectorOwner)?
    }

    /// By interrupt type and vector.
    private var entries: [InterruptIndex: [UInt32: Entry]] = [:]
    /// The number of vectors that the kernel has allocated for a type; may exceed the number that are on.
    var allocated: [InterruptIndex: UInt32] = [:]

    /// The event of a vector that is on.
    subscript(index: InterruptIndex, vector: UInt32) -> FileDescriptor? { entries[index]?[vector]?.event }

    /// Records that a vector is on.
    mutating func insert(_ index: InterruptIndex, _ vector: UInt32, _ owner: any VectorOwner) {
        entries[index, default: [:]][vector] = Entry(
            event: owner.event, identity: ObjectIdentifier(owner), owner: owner)
    }

    /// Whether a vector is on and this is its owner, rather than one that has lost it.
    func isOn(_ index: InterruptIndex, _ vector: UInt32, of owner: any VectorOwner) -> Bool {
        entries[index]?[vector]?.identity == ObjectIdentifier(owner)
    }

    /// Records that a vector is off.
    mutating func remove(_ index: InterruptIndex, _ vector: UInt32) {
        entries[index]?[vector] = nil
        if entries[index]?.isEmpty == true { entries[index] = nil }
    }

    /// Records that no vector of a type is on, and returns those who owned one.
    mutating func removeAll(_ index: InterruptIndex) -> [any VectorOwner] {
        allocated[index] = nil
        return entries.removeValue(forKey: index)?.values.compactMap(\.owner) ?? []
    }

    func isOn(_ index: InterruptIndex) -> Bool { entries[index] != nil }

    /// Another type that is on and excludes this one.
    func conflict(with index: InterruptIndex) -> InterruptIndex? {
        index.isExclusive ? entries.keys.first { $0 != index && $0.isExclusive } : nil
    }
}
