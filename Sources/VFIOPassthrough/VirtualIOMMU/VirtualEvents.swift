public import VFIO

/// The events of a ``VirtualEventQueue`` as an asynchronous sequence.
///
/// ```swift
/// for try await event in queue.events { … }
/// ```
///
/// The sequence ends when its task is cancelled, or the queue is closed. Each event goes to one of the sequences that
/// wait for it.
public struct VirtualEvents: AsyncSequence, Sendable {
    public typealias Element = VirtualEvent
    public typealias Failure = VFIOError

    private let source: VirtualEventSource

    init(_ source: VirtualEventSource) { self.source = source }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let source: VirtualEventSource
        /// Events that were read and not returned yet, the next one last: a read may return more than one, since
        /// reports of losses are shorter.
        private var rest: [VirtualEvent] = []

        init(_ source: VirtualEventSource) { self.source = source }

        public mutating func next() async throws(VFIOError) -> VirtualEvent? { try await next(isolation: nil) }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(VFIOError) -> VirtualEvent? {
            if rest.isEmpty {
                // At most one, so that the other events stay in the queue if the iteration stops.
                let events = try await source.next(isolation: actor) { () throws(VFIOError) in
                    if let events = try source.take(upTo: 1) { return events }
                    try source.startWatching()
                    return nil
                }
                rest = events?.reversed() ?? []
            }
            return Task.isCancelled ? nil : rest.popLast()
        }
    }
}
