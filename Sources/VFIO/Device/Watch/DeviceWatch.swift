public import SystemPackage

/// Reports that the host wants a device back, has found an error of it, or has lost it.
///
/// A host that unbinds or unplugs a device waits until every program has closed it. A program that runs for long, and
/// does not want to hold that up, watches its devices:
///
/// ```swift
/// let watch = try device.watch()
/// for try await event in watch.events {
///     print(event)
///     break
/// }
/// // … stop using the device, and close everything made from it
/// ```
/// It uses the device's interrupts ``InterruptIndex/error`` and ``InterruptIndex/request``. A device that goes away
/// without a request is only noticed at its next use, by the error `.deviceGone`, or by ``Device/isPresent()``.
public struct DeviceWatch: ~Copyable, Sendable {
    package let source: DeviceWatchSource

    init(_ source: DeviceWatchSource) { self.source = source }

    /// Returns an event that is there, `nil` if none. Does not wait.
    public func poll() throws(VFIOError) -> DeviceEvent? {
        try source.take()
    }

    /// Waits for an event and blocks the thread.
    ///
    /// - Parameter timeout: How long to wait; `nil` for no limit.
    /// - Returns: The event; `nil` after the timeout.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> DeviceEvent? {
        try source.wait(timeout: timeout)
    }

    /// The events as a sequence, which ends when the watch is closed.
    public var events: DeviceEvents { DeviceEvents(source) }

    /// Gives access to the descriptor that is readable while an event is there, for `epoll` or Dispatch. The library
    /// owns it and closes it with the watch.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(source.set.event)
    }

    /// Switches the interrupts off and throws the kernel's error. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public consuming func close() throws(VFIOError) {
        try source.close()
    }

    deinit {
        // No effect after close().
        try? source.close()
    }
}

extension Device {
    /// Begins to report the host's requests for the device, and its errors.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Throws: `.unsupported` if the device has neither of the two interrupts, `.busy` if one of them is on already.
    public func watch() throws(VFIOError) -> DeviceWatch {
        DeviceWatch(try DeviceWatchSource(core))
    }
}

extension EventSet {
    /// Adds the events of a device.
    ///
    /// - Throws: `.busy` if the set has the name or the watch already, `.limit`.
    public func add(_ watch: borrowing DeviceWatch, as name: Name) throws(VFIOError) {
        try core.add(watch.source.set.event, of: watch.source.set, as: name)
    }
}
