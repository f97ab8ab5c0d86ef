/// What is there in an ``EventSet``, as an asynchronous sequence.
public struct EventSetNames<Name: Hashable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = [Name]
    public typealias Failure = VFIOError

    private let core: EventSetCore<Name>

    init(_ core: EventSetCore<Name>) { self.core = core }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(core) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let core: EventSetCore<Name>

        init(_ core: EventSetCore<Name>) { self.core = core }

        public mutating func next() async throws(VFIOError) -> [Name]? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(VFIOError) -> [Name]? {
            try await core.next(isolation: actor) { () throws(VFIOError) in
                let ready = try core.ready()
                return ready.isEmpty ? nil : ready
            }
        }
    }
}
