public import SystemPackage

/// An interrupt of a device that is on, until the end of this value's life.
///
/// Interrupts are counted: those that come between two looks are one event with a count.
public struct InterruptVector: ~Copyable, Sendable {
    package let line: InterruptLine

    init(_ line: InterruptLine) { self.line = line }

    /// The kind of the interrupt.
    public var index: InterruptIndex { line.index }
    /// Its number among those of its kind.
    public var vector: Int { Int(line.vector) }

    /// How many interrupts have come since the last look; `nil` when none has. Does not wait.
    public func poll() throws(VFIOError) -> UInt64? {
        try line.take()
    }

    /// Waits for an interrupt and blocks the thread meanwhile. For Swift concurrency there is ``events``.
    ///
    /// - Parameter timeout: How long to wait; `nil` for ever.
    /// - Returns: How many interrupts have come since the last look; `nil` when none came in time.
    @discardableResult
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> UInt64? {
        try line.wait(timeout: timeout)
    }

    /// The interrupts as a sequence of counts.
    ///
    /// The sequence keeps the interrupt on for as long as it lives, and ends when the vector is closed.
    public var events: InterruptEvents { InterruptEvents(line) }

    /// Holds the interrupt back, until ``unmask()``. One that is raised meanwhile comes then, if its level is still up.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Throws: `.unsupported` for what cannot be masked, which MSIs cannot.
    public func mask() throws(VFIOError) {
        try requireMasking("mask vector \(vector)")
        try line.core.setIRQAction(.mask, line.index, vector: line.vector)
    }

    /// Lets the interrupt come again, after the kernel has masked it: needed after each INTx.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// Unmasked while its level is up, it comes at once: have the device lower it first.
    ///
    /// - Throws: `.unsupported` for what cannot be masked, which MSIs cannot.
    public func unmask() throws(VFIOError) {
        try requireMasking("unmask vector \(vector)")
        try line.core.setIRQAction(.unmask, line.index, vector: line.vector)
    }

    /// An eventfd that unmasks the interrupt each time it is signalled, such as KVM's `resamplefd` of an irqfd.
    ///
    /// It is made and tied to the interrupt at the first call. It stays the library's, and is closed with the interrupt.
    ///
    /// - Throws: `.unsupported` for what cannot be masked, which MSIs cannot.
    public func withUnmaskEvent<Result: ~Copyable>(
        _ body: (FileDescriptor) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        try body(try requiredUnmaskEvent())
    }

    private func requiredUnmaskEvent() throws(VFIOError) -> FileDescriptor {
        try requireMasking("let an event unmask vector \(vector)")
        return try line.unmaskEvent()
    }

    private func requireMasking(_ operation: String) throws(VFIOError) {
        guard line.isMaskable else {
            throw VFIOError(
                .unsupported, operation, "\(index) of \(line.core.address)",
                hint: "interrupts of this kind are not masked")
        }
    }

    /// Raises the interrupt as if the device had: for tests of what handles it.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public func trigger() throws(VFIOError) {
        try line.core.setIRQAction(.trigger, line.index, vector: line.vector)
    }

    /// The eventfd behind the interrupt, for `epoll` or for KVM's irqfd. It stays the library's, and is closed with it.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(line.event)
    }

    /// Switches the interrupt off and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try line.disable()
    }
}

extension InterruptVector {
    /// Lends the eventfd that unmasks the interrupt to a closure that throws errors of its own.
    public func withUnmaskEvent<Result: ~Copyable>(
        _ body: (FileDescriptor) throws -> Result
    ) throws -> Result {
        try body(try requiredUnmaskEvent())
    }
}
