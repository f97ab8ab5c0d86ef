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
    private let closed = Atomic<Bool>(false)

    init(_ engine: consuming ControllerEngine) {
        state = Mutex(State(engine: engine))
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        try? close()
    }

    /// The number of the controller's life. Each reset begins another, in which the queues of the one before are unknown.
    ///
    /// A life is over when the controller is known to reach for none of its memory any more, and not before.
    var currentEpoch: UInt64 { epoch.load(ordering: .acquiring) }
    /// Whether there is nothing left to talk to.
    var isClosed: Bool { closed.load(ordering: .acquiring) }

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

    /// Returns when nobody works with the controller, so that a reset or a close that is under way has ended.
    func waitForTurn() { state.withLock { _ in } }

    /// Resets the controller, unless that has happened since the given life, and brings it up again.
    func reset(from known: UInt64? = nil) throws(NVMeError) {
        try withEngine { (engine) throws(NVMeError) in
            if let known, known != currentEpoch, engine.isRunning { return }
            try restart(&engine)
        }
    }

    /// Begins another life of the controller. The queues of this one are no more, whatever comes of it, and their memory
    /// is free: but for `.notStopped`, after which this life goes on.
    private func restart(_ engine: inout ControllerEngine) throws(NVMeError) {
        var failure: NVMeError?
        do throws(NVMeError) { try engine.stop() } catch { failure = error }
        if engine.isQuiet { epoch.add(1, ordering: .acquiringAndReleasing) }
        if let failure { throw failure }
        try engine.start()
    }

    /// Begins another life, since the memory of a queue is freed that the controller may know of.
    ///
    /// - Throws: `.notStopped` alone. A controller that does not come up again is told of when it is used next.
    private func restart(_ state: inout State, after failure: NVMeError) throws(NVMeError) {
        let life = currentEpoch
        try? restart(&state.engine!)
        guard currentEpoch == life else { return }
        // What is left is to close the device, which the queue holds as well, but no longer than its memory. The kernel
        // stops a device that nobody holds.
        closed.store(true, ordering: .releasing)
        state.engine = nil
        throw .notStopped("\(failure)")
    }

    /// Shuts the controller down, after which no queue works any more.
    func close() throws(NVMeError) {
        var failure: NVMeError?
        let engine = state.withLock { state -> ControllerEngine? in
            guard state.engine != nil else { return nil }
            do throws(NVMeError) { try state.engine!.shutDown() } catch { failure = error }
            closed.store(true, ordering: .releasing)
            // Not before it has stopped: the queues' memory is free from then on.
            if state.engine?.isQuiet == true { epoch.add(1, ordering: .acquiringAndReleasing) }
            return state.engine.take()
        }
        if let engine {
            do throws(NVMeError) { try engine.close() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
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
    /// When that fails, the controller knows nothing of it, if need be by a reset.
    ///
    /// - Returns: The life of the controller that knows it.
    func connectQueue(
        _ id: UInt16, _ memory: borrowing QueueMemory, vector: Int?
    ) throws(NVMeError) -> UInt64 {
        try state.withLock { (state) throws(NVMeError) in
            guard state.engine != nil else { throw .closed }
            do throws(NVMeError) {
                try state.engine!.createQueue(id, memory, vector: vector)
            } catch {
                if state.engine?.isStuck == true { try restart(&state, after: error) }
                throw error
            }
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
                try restart(&state, after: error)
                throw error
            }
        }
    }
}
