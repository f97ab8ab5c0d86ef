package import SystemPackage

/// A descriptor that becomes readable, and that tasks can wait for until it is closed.
package protocol WaitableEvent: AnyObject, Sendable {
    /// The descriptor to watch. Stays open as long as this object, which each wait holds.
    var event: FileDescriptor { get }

    /// Calls a closure with the waits, under the lock of the object's state.
    func withWaits<Result: Sendable>(_ body: (inout WaitList) -> Result) -> Result
}

extension WaitableEvent {
    /// Whether the event was closed. An event that is pending then is not delivered.
    package var isClosed: Bool { withWaits { $0.isClosed } }

    /// Returns the next element of a sequence, and waits for the event while there is none; `nil` if the event is closed
    /// or the task is cancelled.
    ///
    /// - Parameter take: Returns an element without waiting, `nil` if there is none.
    package func next<Element>(
        isolation actor: isolated (any Actor)?, _ take: () throws(VFIOError) -> Element?
    ) async throws(VFIOError) -> Element? {
        while !Task.isCancelled, !isClosed {
            if let element = try take() { return element }
            await EventWait(self).untilReadableOrCancelled()
        }
        return nil
    }
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
