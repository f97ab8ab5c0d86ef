internal import SystemPackage

/// The interrupts of a device that are on, and their events.
struct InterruptTable: Sendable {
    /// By interrupt type and vector.
    private var events: [InterruptIndex: [UInt32: FileDescriptor]] = [:]
    /// The number of vectors that the kernel has allocated for a type; may exceed the number that are on.
    var allocated: [InterruptIndex: UInt32] = [:]

    subscript(index: InterruptIndex, vector: UInt32) -> FileDescriptor? {
        get { events[index]?[vector] }
        set {
            events[index, default: [:]][vector] = newValue
            if events[index]?.isEmpty == true { events[index] = nil }
        }
    }

    /// Records that no vector of a type is on.
    mutating func removeAll(_ index: InterruptIndex) {
        events[index] = nil
        allocated[index] = nil
    }

    func isOn(_ index: InterruptIndex) -> Bool { events[index] != nil }

    /// Another type that is on and excludes this one.
    func conflict(with index: InterruptIndex) -> InterruptIndex? {
        index.isExclusive ? events.keys.first { $0 != index && $0.isExclusive } : nil
    }
}
