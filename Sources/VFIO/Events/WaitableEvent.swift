package import SystemPackage

/// A descriptor that becomes readable, and that tasks may wait for until it is closed.
package protocol WaitableEvent: AnyObject, Sendable {
    /// What is watched. Stays open for as long as a wait is begun.
    var event: FileDescriptor { get }

    /// Notes a wait, to be ended when the event is over. `false` when it is.
    func begin(_ wait: EventWait) -> Bool

    /// Forgets a wait that has ended.
    func forget(_ wait: EventWait)

    /// A wait that was begun watches the descriptor no more.
    func watchCancelled()
}

extension Kernel {
    /// Whether the descriptor is readable, after waiting until a moment; `nil` for ever. Signals do not end it early.
    package func waitUntilReadable(
        _ descriptor: FileDescriptor, until deadline: ContinuousClock.Instant?
    ) throws(Errno) -> Bool {
        while true {
            let left = deadline.map { $0 - ContinuousClock.now }
            if try waitUntilReadable(descriptor, timeout: left.map(Self.milliseconds)) { return true }
            if let left, left <= .zero { return false }
        }
    }

    private static func milliseconds(_ duration: Duration) -> Int32 {
        guard duration > .zero else { return 0 }
        // Rounded up: a wait that is cut short would turn the rest of the time into a busy loop.
        let (seconds, attoseconds) = duration.components
        return Int32(clamping: min(seconds, Int64(Int32.max) / 1000) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
