internal import CVFIO
internal import Synchronization
internal import SystemPackage
internal import VFIO

/// An event queue and its descriptor: shared between a ``VirtualEventQueue`` and the sequences made from it.
final class VirtualEventSource: WaitableEvent {
    let object: IOMMUFDObject
    /// Readable while the queue is: set by ``startWatching()``, and open until the deinit. It does not hold the queue, so
    /// that ``close()`` does not wait for Dispatch, which may still use it.
    var event: FileDescriptor { state.withLock { $0.watch } ?? queue }
    /// Open until ``close()``; only certain to be open under the lock, or during a blocking wait.
    private let queue: FileDescriptor
    private let kind: VirtualEventQueue.Kind
    private let kernel: any Kernel
    private let state = Mutex(State())

    private struct State: Sendable {
        var waits = WaitList()
        var watch: FileDescriptor?
    }

    init(_ object: IOMMUFDObject, _ descriptor: FileDescriptor, _ kind: VirtualEventQueue.Kind) {
        self.object = object
        self.queue = descriptor
        self.kind = kind
        self.kernel = object.file.kernel
    }

    deinit {
        try? close()
        if let watch = state.withLock({ $0.watch }) { try? HostKernel().close(watch) }
    }

    /// Closes the descriptor, which holds the object, and then destroys the object, once.
    func close() throws(VFIOError) {
        let waits = withWaits { waits in waits.close() ? waits.removeAll() : nil }
        guard let waits else { return }
        for wait in waits { wait.end() }
        try attempt("close the queue of events", "the queue of events", kernel.close(queue))
        try object.close()
    }

    // MARK: Events

    /// Returns the pending events, at most a few dozen or `limit`; `nil` if there are none, or the queue is closed.
    func take(upTo limit: Int = .max) throws(VFIOError) -> [VirtualEvent]? {
        let operation = "read a guest's events (read)"
        let size = MemoryLayout<ciommufd_vevent_header>.size + kind.byteCount
        let buffer = RequestBuffer(byteCount: min(max(4096 / size, 1), limit) * size)
        let count: Int
        do throws(Errno) {
            count = try state.withLock { (state) throws(Errno) -> Int in
                guard !state.waits.isClosed else { return 0 }
                return try unsafe kernel.read(queue, into: buffer.bytes)
            }
        } catch .resourceTemporarilyUnavailable {
            return nil
        } catch {
            throw VFIOError(refused: error, operation, "the queue of events")
        }
        guard let events = VirtualEvent.events(in: buffer, byteCount: count, kind) else {
            throw VFIOError(
                .unexpectedAnswer, operation, "the queue of events",
                hint: "the \(count) bytes are no events of this kind")
        }
        return events.isEmpty ? nil : events
    }

    /// Waits for events and blocks the thread. Only for the owner, who closes the queue.
    func wait(timeout: Duration?) throws(VFIOError) -> [VirtualEvent] {
        let deadline = ContinuousClock.Instant(after: timeout)
        while true {
            if let events = try take() { return events }
            let isReadable = try attempt(
                "wait for a guest's events (poll)", "the queue of events",
                kernel.waitUntilReadable(queue, until: deadline))
            guard isReadable else { return [] }
        }
    }

    // MARK: Waits

    /// Prepares for waits of tasks.
    func startWatching() throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            guard !state.waits.isClosed, state.watch == nil else { return }
            state.watch = try attempt(
                "watch the queue of events (epoll)", "the queue of events", HostKernel().makePollSet(of: queue))
        }
    }

    func withWaits<Result: Sendable>(_ body: (inout WaitList) -> Result) -> Result {
        state.withLock { body(&$0.waits) }
    }
}
