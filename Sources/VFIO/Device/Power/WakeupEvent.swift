public import SystemPackage

/// The event that tells that a device has left low power: see ``Device/enterLowPowerUntilWakeup()``.
public struct WakeupEvent: ~Copyable, Sendable {
    private let event: OwnedDescriptor
    private let subject: String

    init(_ event: consuming OwnedDescriptor, subject: String) {
        self.event = event
        self.subject = subject
    }

    /// Waits for the wakeup and blocks the thread meanwhile; nothing is sent to the device.
    ///
    /// - Parameter timeout: How long to wait; zero for no more than a look, `nil` for ever.
    /// - Returns: Whether the device has woken up.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> Bool {
        try attempt(
            "wait for the wakeup (poll)", subject,
            event.kernel.waitUntilReadable(event.descriptor, until: timeout.map { ContinuousClock.now + $0 }))
    }

    /// The eventfd, for `epoll`. It stays the library's, and is closed with this value.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(event.descriptor)
    }

    /// Closes the event and reports what the kernel said. The device stays as it is.
    public consuming func close() throws(VFIOError) {
        let subject = subject
        try event.close("close the wakeup event", subject)
    }
}
