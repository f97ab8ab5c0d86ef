internal import SystemPackage

/// Which interrupts of a device are on, and the event that each raises.
struct InterruptTable: Sendable {
    /// By kind and vector.
    private var events: [InterruptIndex: [UInt32: FileDescriptor]] = [:]
    /// How many vectors the kernel has set up for a kind, which may be more than are on.
    var allocated: [InterruptIndex: UInt32] = [:]

    subscript(index: InterruptIndex, vector: UInt32) -> FileDescriptor? {
        get { events[index]?[vector] }
        set {
            events[index, default: [:]][vector] = newValue
            if events[index]?.isEmpty == true { events[index] = nil }
        }
    }

    /// Notes that no vector of a kind is on any more.
    mutating func removeAll(_ index: InterruptIndex) {
        events[index] = nil
        allocated[index] = nil
    }

    func isOn(_ index: InterruptIndex) -> Bool { events[index] != nil }

    /// Another kind that is on and excludes this one.
    func conflict(with index: InterruptIndex) -> InterruptIndex? {
        index.isExclusive ? events.keys.first { $0 != index && $0.isExclusive } : nil
    }
}
