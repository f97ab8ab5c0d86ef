internal import Synchronization
internal import VFIO

/// What a controller and its queues share: the one who talks to the controller, one at a time, and the count of its lives.
///
/// No command of an I/O queue comes by here.
final class ControllerCore: Sendable {
    private struct State: ~Copyable, Sendable {
        var engine: ControllerEngine?
        var queues: Set<UInt16> = []
    }

    private let state: Mutex<State>
    private let epoch = Atomic<UInt64>(1)

    init(_ engine: consuming ControllerEngine) {
        state = Mutex(State(engine: engine))
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        try? close()
    }

    /// The number of the controller's life. Each reset begins another, in which the queues of the one before are unknown.
    var currentEpoch: UInt64 { epoch.load(ordering: .acquiring) }

    /// Works with the controller.
    func withEngine<Result: ~Copyable>(
        _ body: (inout ControllerEngine) throws(NVMeError) -> Result
    ) throws(NVMeError) -> Result {
        try state.withLock { (state) throws(NVMeError) in
            guard state.engine != nil else { throw .closed }
            return try body(&state.engine!)
        }
    }

    // MARK: Life

    /// Resets the controller, unless that has happened since the given life, and brings it up again.
    func reset(from known: UInt64? = nil) throws(NVMeError) {
        try withEngine { (engine) throws(NVMeError) in
            if let known, known != currentEpoch, engine.isRunning { return }
            // The queues are no more, whatever comes of it.
            defer { epoch.add(1, ordering: .acquiringAndReleasing) }
            try engine.bringUp()
        }
    }

    /// Shuts the controller down, after which no queue works any more.
    func close() throws(NVMeError) {
        let engine = state.withLock { $0.engine.take() }
        epoch.add(1, ordering: .acquiringAndReleasing)
        if let engine { try engine.close() }
    }

    // MARK: Queues

    /// Finds a number for a new queue.
    func reserveQueue() throws(NVMeError) -> UInt16 {
        try state.withLock { (state) throws(NVMeError) in
            guard let limit = state.engine?.queueLimit else { throw .closed }
            guard let id = (1...UInt16(clamping: max(limit, 1))).first(where: { !state.queues.contains($0) }) else {
                throw .unsupported("more than \(limit) I/O queues; ask for them when it is opened")
            }
            state.queues.insert(id)
            return id
        }
    }

    /// Tells the controller of a queue.
    ///
    /// - Returns: The life of the controller that knows it.
    func connectQueue(
        _ id: UInt16, _ memory: borrowing QueueMemory, vector: Int?
    ) throws(NVMeError) -> UInt64 {
        try withEngine { (engine) throws(NVMeError) in
            try engine.createQueue(id, memory, vector: vector)
            return currentEpoch
        }
    }

    /// Has the controller forget a queue, and gives its number back.
    func removeQueue(_ id: UInt16, epoch known: UInt64) throws(NVMeError) {
        try state.withLock { (state) throws(NVMeError) in
            state.queues.remove(id)
            // Of an earlier life, or of a controller that was closed: forgotten already.
            guard known == currentEpoch, state.engine != nil else { return }
            do throws(NVMeError) {
                try state.engine!.deleteQueue(id)
            } catch {
                // Its memory is freed now, so the controller must not reach for it any more.
                epoch.add(1, ordering: .acquiringAndReleasing)
                try? state.engine!.bringUp()
                throw error
            }
        }
    }
}
