public import SystemPackage

/// The event that reports that a device has left low power: see ``Device/enterLowPowerUntilWakeup()``.
public struct WakeupEvent: ~Copyable, Sendable {
    private let event: OwnedDescriptor
    private let subject: String

    init(_ event: consuming OwnedDescriptor, subject: String) {
        self.event = event
        self.subject = subject
    }

    /// Waits for the wakeup and blocks the thread; does not access the device.
    ///
    /// - Parameter timeout: How long to wait; zero only checks, `nil` has no limit.
    /// - Returns: Whether the device has woken up.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> Bool {
        try attempt(
            "wait for the wakeup (poll)", subject,
            event.kernel.waitUntilReadable(event.descriptor, until: ContinuousClock.Instant(after: timeout)))
    }

    /// Gives access to the eventfd, for `epoll`. The library owns it and closes it with this value.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(event.descriptor)
    }

    /// Closes the event and throws the kernel's error. The power state does not change.
    public consuming func close() throws(VFIOError) {
        let subject = subject
        try event.close("close the wakeup event", subject)
    }
}
