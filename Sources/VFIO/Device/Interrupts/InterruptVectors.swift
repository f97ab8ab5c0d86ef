public import SystemPackage

/// Several interrupts of one type that were switched on together, until this value is closed or deinitialized.
///
/// ```swift
/// let queues = try device.interrupts(.msix).enable(vectors: [0, 3, 64])
/// if let count = try queues.wait(3, timeout: .seconds(1)) { … }
/// try queues.close()
/// ```
public struct InterruptVectors: ~Copyable, Sendable {
    /// The type of the interrupts.
    public let index: InterruptIndex
    /// In the order in which they were requested.
    private let lines: [InterruptLine]
    private let positions: [Int: Int]

    init(_ index: InterruptIndex, _ lines: [InterruptLine]) {
        self.index = index
        self.lines = lines
        positions = Dictionary(uniqueKeysWithValues: zip(lines.map { Int($0.vector) }, lines.indices))
    }

    /// The numbers of the vectors, in the order in which they were requested.
    public var vectors: [Int] { lines.map { Int($0.vector) } }

    /// Returns the number of a vector's interrupts since the last read, `nil` if none. Does not wait.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func poll(_ vector: Int) throws(VFIOError) -> UInt64? {
        try line(vector, "poll vector \(vector)").take()
    }

    /// Waits for an interrupt of a vector and blocks the thread.
    ///
    /// - Parameters:
    ///   - vector: Its number, one of ``vectors``.
    ///   - timeout: How long to wait; `nil` for no limit.
    /// - Returns: The number of interrupts since the last read; `nil` after a timeout.
    /// - Throws: `.notFound` for a vector that is not one of these.
    @discardableResult
    public func wait(_ vector: Int, timeout: Duration? = nil) throws(VFIOError) -> UInt64? {
        try line(vector, "wait for vector \(vector)").wait(timeout: timeout)
    }

    /// Returns the interrupts of a vector as a sequence of counts, which keeps that vector on while it exists, and ends
    /// when the vectors are closed.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func events(_ vector: Int) throws(VFIOError) -> InterruptEvents {
        InterruptEvents(try line(vector, "wait for vector \(vector)"))
    }

    /// Gives access to the eventfd of a vector, for `epoll` or a KVM irqfd. The library owns it and closes it with the
    /// vector.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func withEvent<Result: ~Copyable>(
        _ vector: Int, _ body: (FileDescriptor) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        try body(try line(vector, "lend the event of vector \(vector)").event)
    }

    /// Does the same for a closure with its own error type.
    public func withEvent<Result: ~Copyable>(
        _ vector: Int, _ body: (FileDescriptor) throws -> Result
    ) throws -> Result {
        try body(try line(vector, "lend the event of vector \(vector)").event)
    }

    /// Raises vectors from software in one call, to test their handlers.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Parameter vectors: The vectors; `nil` for all of these.
    /// - Throws: `.notFound` for a vector that is not one of these.
    public func trigger(_ vectors: [Int]? = nil) throws(VFIOError) {
        var chosen: [InterruptLine] = []
        for vector in vectors ?? self.vectors { chosen.append(try line(vector, "trigger vector \(vector)")) }
        guard let core = lines.first?.core else { return }
        try core.trigger(index, chosen)
    }

    /// Switches the interrupts off and throws the kernel's error. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    public consuming func close() throws(VFIOError) {
        try InterruptLine.disable(lines)
    }

    package func line(_ vector: Int, _ operation: String) throws(VFIOError) -> InterruptLine {
        guard let position = positions[vector] else {
            throw VFIOError(
                .notFound, operation, "\(index)", hint: "these are the vectors \(vectors)")
        }
        return lines[position]
    }
}
