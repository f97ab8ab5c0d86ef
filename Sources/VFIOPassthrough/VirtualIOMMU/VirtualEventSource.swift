internal import CVFIO
internal import Dispatch
internal import Synchronization
internal import SystemPackage
internal import VFIO

/// An event queue and its descriptor: shared between a ``VirtualEventQueue`` and the sequences made from it.
final class VirtualEventSource: WaitableEvent {
    let object: IOMMUFDObject
    /// Open until ``close()``; only certain to be open under the lock, or during a wait.
    let event: FileDescriptor
    private let kind: VirtualEventQueue.Kind
    private let kernel: any Kernel
    private let state = Mutex(State())
    /// The waits whose descriptor Dispatch still uses.
    private let watches = DispatchGroup()

    private struct State: Sendable {
        var isOpen = true
        var waits: [EventWait] = []
    }

    init(_ object: IOMMUFDObject, _ descriptor: FileDescriptor, _ kind: VirtualEventQueue.Kind) {
        self.object = object
        self.event = descriptor
        self.kind = kind
        self.kernel = object.file.kernel
    }

    deinit { try? close() }

    /// Whether the queue was closed.
    var isClosed: Bool { state.withLock { !$0.isOpen } }

    /// Closes the descriptor, which holds the object, and then destroys the object, once.
    func close() throws(VFIOError) {
        let waits: [EventWait]? = state.withLock { state in
            guard state.isOpen else { return nil }
            state.isOpen = false
            defer { state.waits = [] }
            return state.waits
        }
        guard let waits else { return }
        for wait in waits { wait.end() }
        // Wait until Dispatch no longer uses the descriptor: until then its number must not be reused for another file.
        watches.wait()
        try attempt("close the queue of events", "the queue of events", kernel.close(event))
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
                guard state.isOpen else { return 0 }
                return try unsafe kernel.read(event, into: buffer.bytes)
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
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while true {
            if let events = try take() { return events }
            let isReadable = try attempt(
                "wait for a guest's events (poll)", "the queue of events",
                kernel.waitUntilReadable(event, until: deadline))
            guard isReadable else { return [] }
        }
    }

    // MARK: Waits

    func begin(_ wait: EventWait) -> Bool {
        state.withLock { state in
            guard state.isOpen else { return false }
            state.waits.append(wait)
            watches.enter()
            return true
        }
    }

    func forget(_ wait: EventWait) { state.withLock { state in state.waits.removeAll { $0 === wait } } }

    func watchCancelled() { watches.leave() }
}
