public import SystemPackage

/// Several interrupts of one kind that were switched on together, until the end of this value's life.
///
/// ```swift
/// let queues = try device.interrupts(.msix).enable(vectors: [0, 3, 64])
/// if let count = try queues.wait(3, timeout: .seconds(1)) { … }
/// try queues.close()
/// ```
public struct InterruptVectors: ~Copyable, Sendable {
    /// The kind of the interrupts.
    public let index: InterruptIndex
    /// By their numbers, in the order in which they were asked for.
    private let lines: [InterruptLine]

    init(_ index: InterruptIndex, _ lines: [InterruptLine]) {
        self.index = index
        self.lines = lines
    }

    /// The numbers of the vectors, in the order in which they were asked for.
    public var vectors: [Int] { lines.map { Int($0.vector) } }

    /// How many interrupts of a vector have come since the last look; `nil` when none has. Does not wait.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func poll(_ vector: Int) throws(VFIOError) -> UInt64? {
        try line(vector, "poll vector \(vector)").take()
    }

    /// Waits for an interrupt of a vector and blocks the thread meanwhile.
    ///
    /// - Parameters:
    ///   - vector: Its number, one of ``vectors``.
    ///   - timeout: How long to wait; `nil` for ever.
    /// - Returns: How many interrupts have come since the last look; `nil` when none came in time.
    /// - Throws: `.notFound` for a vector that is not one of these.
    @discardableResult
    public func wait(_ vector: Int, timeout: Duration? = nil) throws(VFIOError) -> UInt64? {
        try line(vector, "wait for vector \(vector)").wait(timeout: timeout)
    }

    /// The interrupts of a vector as a sequence of counts, which keeps that vector on for as long as it lives, and ends
    /// when the vectors are closed.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func events(_ vector: Int) throws(VFIOError) -> InterruptEvents {
        InterruptEvents(try line(vector, "wait for vector \(vector)"))
    }

    /// The eventfd behind a vector, for `epoll` or for KVM's irqfd. It stays the library's, and is closed with it.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func withEvent<Result: ~Copyable>(
        _ vector: Int, _ body: (FileDescriptor) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        try body(try line(vector, "lend the event of vector \(vector)").event)
    }

    /// The same for a closure that throws errors of its own.
    public func withEvent<Result: ~Copyable>(
        _ vector: Int, _ body: (FileDescriptor) throws -> Result
    ) throws -> Result {
        try body(try line(vector, "lend the event of vector \(vector)").event)
    }

    /// Raises vectors as if the device had, in one call: for tests of what handles them.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Parameter vectors: Which ones; `nil` for all of these.
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func trigger(_ vectors: [Int]? = nil) throws(VFIOError) {
        var chosen: [UInt32] = []
        for vector in vectors ?? self.vectors { chosen.append(try line(vector, "trigger vector \(vector)").vector) }
        guard let core = lines.first?.core else { return }
        try core.trigger(index, chosen)
    }

    /// Switches the interrupts off and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try InterruptLine.disable(lines)
    }

    package func line(_ vector: Int, _ operation: String) throws(VFIOError) -> InterruptLine {
        guard let line = lines.first(where: { Int($0.vector) == vector }) else {
            throw VFIOError(
                .notFound, operation, "\(index)", hint: "these are the vectors \(vectors)")
        }
        return line
    }
}
