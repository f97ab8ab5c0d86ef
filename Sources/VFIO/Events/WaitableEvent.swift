package import SystemPackage

/// A descriptor that becomes readable, and that tasks can wait for until it is closed.
package protocol WaitableEvent: AnyObject, Sendable {
    /// The descriptor to watch. Stays open while a wait is active.
    var event: FileDescriptor { get }

    /// Whether it was closed, so that what is pending concerns nobody.
    var isClosed: Bool { get }

    /// Records a wait, which ends with the event. Returns `false` if the event is closed.
    func begin(_ wait: EventWait) -> Bool

    /// Removes a wait that has ended.
    func forget(_ wait: EventWait)

    /// Called when a wait no longer watches the descriptor.
    func watchCancelled()
}

extension ContinuousClock.Instant {
    /// The time after a timeout; `nil` for none. A century is the longest, so that no sum of durations overflows.
    package init?(after timeout: Duration?) {
        guard let timeout else { return nil }
        self = .now + min(max(timeout, .zero), .seconds(100 * 366 * 86400))
    }
}

extension Kernel {
    /// Returns whether the descriptor is readable, after waiting until a deadline; `nil` for no limit. Signals do not
    /// end the wait.
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
        // Rounded up: a wait that ends early would make the remaining time a busy loop.
        let (seconds, attoseconds) = duration.components
        return Int32(clamping: min(seconds, Int64(Int32.max) / 1000) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
