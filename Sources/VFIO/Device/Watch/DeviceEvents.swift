/// The events of a ``DeviceWatch`` as an asynchronous sequence.
///
/// It ends when its task is cancelled or the watch is closed. Each event goes to one of the sequences that wait for it.
public struct DeviceEvents: AsyncSequence, Sendable {
    public typealias Element = DeviceEvent
    public typealias Failure = VFIOError

    private let source: DeviceWatchSource

    init(_ source: DeviceWatchSource) { self.source = source }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let source: DeviceWatchSource

        init(_ source: DeviceWatchSource) { self.source = source }

        public mutating func next() async throws(VFIOError) -> DeviceEvent? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(VFIOError) -> DeviceEvent? {
            try await source.set.next(isolation: actor) { () throws(VFIOError) in try source.take() }
        }
    }
}
