public import SystemPackage

/// An interrupt of a device that is on, until the end of this value's life.
///
/// Interrupts are counted: those that come between two looks are one event with a count.
public struct InterruptVector: ~Copyable, Sendable {
    private let line: InterruptLine

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
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while true {
            if let count = try line.take() { return count }
            let left = deadline.map { $0 - ContinuousClock.now }
            if let left, left <= .zero { return nil }
            _ = try line.wait(timeout: left.map(Self.milliseconds))
        }
    }

    /// The interrupts as a sequence of counts.
    ///
    /// The sequence keeps the interrupt on for as long as it lives, and ends when the vector is closed.
    public var events: InterruptEvents { InterruptEvents(line) }

    /// Lets the interrupt come again, after the kernel has masked it: needed after each INTx.
    ///
    /// - Throws: `.unsupported` for what cannot be masked, which MSIs cannot.
    public func unmask() throws(VFIOError) {
        guard line.isMaskable else {
            throw VFIOError(
                .unsupported, "unmask vector \(vector)", "\(index) of \(line.core.address)",
                hint: "interrupts of this kind are not masked")
        }
        try line.core.unmask(line.index, vector: line.vector)
    }

    /// Raises the interrupt as if the device had: for tests of what handles it.
    public func trigger() throws(VFIOError) {
        try line.core.trigger(line.index, vector: line.vector)
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

    private static func milliseconds(_ duration: Duration) -> Int32 {
        // Rounded up: a wait that is cut short would turn the rest of the time into a busy loop.
        let (seconds, attoseconds) = duration.components
        return Int32(clamping: min(seconds, Int64(Int32.max) / 1000) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
