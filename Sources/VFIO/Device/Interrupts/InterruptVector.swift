public import SystemPackage

/// An interrupt of a device, which is on until this value is closed or deinitialized.
///
/// Interrupts are counted: several between two reads are one event with a count.
///
/// Where the number of vectors is fixed (``Interrupts/isFixedSize``), all go off for a moment when another one is
/// enabled. If the kernel then refuses to switch them on again, they are lost: their events stay readable, and
/// waiting for them and all requests throw `.interruptLost`. Close it and enable it again.
public struct InterruptVector: ~Copyable, Sendable {
    package let line: InterruptLine

    init(_ line: InterruptLine) { self.line = line }

    /// The type of the interrupt.
    public var index: InterruptIndex { line.index }
    /// The vector number within its type.
    public var vector: Int { Int(line.vector) }

    /// Returns the number of interrupts since the last read, `nil` if none. Does not wait.
    public func poll() throws(VFIOError) -> UInt64? {
        try line.take()
    }

    /// Waits for an interrupt and blocks the thread. For Swift concurrency use ``events``.
    ///
    /// - Parameter timeout: How long to wait; `nil` for no limit.
    /// - Returns: The number of interrupts since the last read; `nil` after a timeout.
    @discardableResult
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> UInt64? {
        try line.wait(timeout: timeout)
    }

    /// The interrupts as a sequence of counts.
    ///
    /// The interrupt stays on while the sequence exists; the sequence ends when the vector is closed.
    public var events: InterruptEvents { InterruptEvents(line) }

    /// Masks the interrupt until ``unmask()``. One that is raised meanwhile is delivered then, if its level is still
    /// asserted. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Throws: `.unsupported` if the interrupt cannot be masked, which applies to MSI and MSI-X.
    public func mask() throws(VFIOError) {
        try requireMasking("mask vector \(vector)")
        try line.core.setIRQAction(.mask, line)
    }

    /// Unmasks the interrupt, which the kernel masks after each INTx.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// If its level is still asserted, it fires at once: make the device deassert it first.
    ///
    /// - Throws: `.unsupported` if the interrupt cannot be masked, which applies to MSI and MSI-X.
    public func unmask() throws(VFIOError) {
        try requireMasking("unmask vector \(vector)")
        try line.core.setIRQAction(.unmask, line)
    }

    /// Gives access to an eventfd that unmasks the interrupt each time it is signalled, such as the `resamplefd` of a
    /// KVM irqfd. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// It is created and assigned to the interrupt at the first call. The library owns it and closes it with the
    /// interrupt.
    ///
    /// - Throws: `.unsupported` if the interrupt cannot be masked, which applies to MSI and MSI-X.
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

    /// Raises the interrupt from software, to test its handler. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public func trigger() throws(VFIOError) {
        try line.core.setIRQAction(.trigger, line)
    }

    /// Gives access to the eventfd of the interrupt, for `epoll` or a KVM irqfd. The library owns it and closes it with
    /// the interrupt.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(line.event)
    }

    /// Switches the interrupt off and throws the kernel's error. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public consuming func close() throws(VFIOError) {
        try line.disable()
    }
}

extension InterruptVector {
    /// Gives a closure with its own error type access to the eventfd that unmasks the interrupt.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public func withUnmaskEvent<Result: ~Copyable>(
        _ body: (FileDescriptor) throws -> Result
    ) throws -> Result {
        try body(try requiredUnmaskEvent())
    }
}
