/// The interrupts of a vector as an asynchronous sequence: each element is the number of interrupts since the previous
/// one.
///
/// ```swift
/// for try await count in vector.events { … }
/// ```
///
/// The sequence ends when its task is cancelled or the vector is closed. Each interrupt goes to one of the sequences
/// that wait for it.
public struct InterruptEvents: AsyncSequence, Sendable {
    public typealias Element = UInt64
    public typealias Failure = VFIOError

    private let line: InterruptLine

    init(_ line: InterruptLine) { self.line = line }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(line) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let line: InterruptLine

        init(_ line: InterruptLine) { self.line = line }

        public mutating func next() async throws(VFIOError) -> UInt64? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(VFIOError) -> UInt64? {
            try await line.next(isolation: actor) { () throws(VFIOError) in try line.take() }
        }
    }
}
