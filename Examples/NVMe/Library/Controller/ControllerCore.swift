internal import Synchronization
internal import VFIO

/// The state shared by a controller and its queues: the engine, which is used by one thread at a time, and the epoch.
///
/// Commands of I/O queues do not use it.
final class ControllerCore: Sendable {
    private struct State: ~Copyable, Sendable {
        var engine: ControllerEngine?
        var queues: Set<UInt16> = []
        /// The vectors that are on, and the queues that have them.
        var interrupts: [(interrupt: QueueInterrupt, queues: Set<UInt16>)] = []
        /// Why the controller may still access memory, though its engine has ended.
        var notStoppedReason: String?

        /// What whoever still needs the engine is told.
        var ending: NVMeError { notStoppedReason.map(NVMeError.notStopped) ?? .closed }
    }

    private let state: Mutex<State>
    private let epoch = Atomic<UInt64>(1)
    private let closed = Atomic<Bool>(false)

    private let device: SharedDevice

    init(_ engine: consuming ControllerEngine) {
        device = engine.device
        state = Mutex(State(engine: engine))
    }

    deinit {
        // deinit ignores errors; callers that need the error call close().
        try? close()
    }

    /// The controller's epoch. Each reset begins a new one, in which the queues of the previous epochs do not exist.
    ///
    /// An epoch ends only when the controller is known to access none of its memory any more.
    var currentEpoch: UInt64 { epoch.load(ordering: .acquiring) }
    /// Whether the controller has been closed.
    var isClosed: Bool { closed.load(ordering: .acquiring) }

    /// Calls a closure with the engine, under the lock. It must not call code of the driver's user.
    ///
    /// - Parameter known: The epoch of the queue that needs it.
    /// - Throws: `.closed` and `.notStopped`, as ``ending(for:)``.
    func withEngine<Result: ~Copyable>(
        for known: UInt64? = nil, _ body: (inout ControllerEngine) throws(NVMeError) -> Result
    ) throws(NVMeError) -> Result {
        try state.withLock { (state) throws(NVMeError) in
            guard state.engine != nil else { throw known ?? currentEpoch == currentEpoch ? state.ending : .closed }
            return try body(&state.engine!)
        }
    }

    /// What a queue is told of a controller that has been closed: `.notStopped` if the controller may still access the
    /// queue's memory and that of its commands, and otherwise `.closed`.
    func ending(for known: UInt64) -> NVMeError {
        state.withLock { known == currentEpoch ? $0.ending : .closed }
    }

    /// Calls a closure of the driver's user with the device, without the lock.
    func result<Value: ~Copyable, Failure: Error>(
        of body: (borrowing Device) throws(Failure) -> Value
    ) throws(NVMeError) -> Result<Value, Failure> {
        // Only a device that has been closed throws here.
        do throws(NVMeError) { return try device.result(of: body) } catch { throw ending(for: currentEpoch) }
    }

    // MARK: Life

    /// Returns when no other thread uses the engine, so that a reset or close in progress has ended.
    func waitForTurn() { state.withLock { _ in } }

    /// Resets the controller and initialises it again, unless it has been reset since the given epoch.
    func reset(from known: UInt64? = nil) throws(NVMeError) {
        try withEngine(for: known) { (engine) throws(NVMeError) in
            if let known, known != currentEpoch, engine.isRunning { return }
            try restart(&engine)
        }
    }

    /// Begins a new epoch. The queues of the current one no longer exist, and their memory is free, even if this fails;
    /// except for `.notStopped`, after which the current epoch continues.
    private func restart(_ engine: inout ControllerEngine) throws(NVMeError) {
        var failure: NVMeError?
        do throws(NVMeError) { try engine.stop() } catch { failure = error }
        if engine.isQuiet { epoch.add(1, ordering: .acquiringAndReleasing) }
        if let failure { throw failure }
        try engine.start()
    }

    /// Begins a new epoch, because the memory of a queue is being freed that the controller may still access.
    ///
    /// - Throws: `.notStopped` only, and then the memory is never freed. A failure of the initialisation is reported by
    ///   the next use of the controller.
    private func restart(
        _ state: inout State, after failure: NVMeError, keeping buffers: QueueBuffers
    ) throws(NVMeError) {
        let life = currentEpoch
        try? restart(&state.engine!)
        guard currentEpoch == life else { return }
        // The device must still be closed. The queue also holds it, but no longer than its memory. The kernel disables
        // a device when its last reference is closed.
        state.notStoppedReason = "\(failure)"
        closed.store(true, ordering: .releasing)
        if let engine = state.engine.take() { try? engine.abandon() }
        buffers.abandon()
        throw state.ending
    }

    /// Shuts the controller down, after which no queue works any more.
    func close() throws(NVMeError) {
        var failure: NVMeError?
        let engine = state.withLock { state -> ControllerEngine? in
            guard state.engine != nil else { return nil }
            do throws(NVMeError) { try state.engine!.shutDown() } catch { failure = error }
            // Only after it has stopped, because the queues' memory is free from then on.
            let isQuiet = state.engine?.isQuiet == true
            if !isQuiet { state.notStoppedReason = failure.map { "\($0)" } ?? "its DMA is on" }
            closed.store(true, ordering: .releasing)
            if isQuiet { epoch.add(1, ordering: .acquiringAndReleasing) }
            return state.engine.take()
        }
        if let engine {
            do throws(NVMeError) { try engine.close() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    // MARK: Queues

    /// Allocates the number of a new queue.
    func reserveQueue() throws(NVMeError) -> UInt16 {
        try state.withLock { (state) throws(NVMeError) in
            guard let limit = state.engine?.queueLimit else { throw state.ending }
            guard state.engine?.commandSet != ControllerConfiguration.CommandSet.none else {
                throw .unsupported("I/O commands: it has admin commands only (CAP.CSS)")
            }
            guard let id = (1...UInt16(clamping: max(limit, 1))).first(where: { !state.queues.contains($0) }) else {
                throw .unsupported("more than \(limit) I/O queues; ask for them when it is opened")
            }
            state.queues.insert(id)
            return id
        }
    }

    /// Switches on the vector of a queue, unless another queue has it. ``removeQueue(_:epoch:_:)`` gives it back.
    func takeInterrupt(for id: UInt16) throws(NVMeError) -> QueueInterrupt {
        try state.withLock { (state) throws(NVMeError) in
            guard state.engine != nil else { throw state.ending }
            let (all, number) = try Self.vector(of: id, &state.engine!)
            if let index = state.interrupts.firstIndex(where: { $0.interrupt.number == number }) {
                state.interrupts[index].queues.insert(id)
                return state.interrupts[index].interrupt
            }
            let interrupt: QueueInterrupt
            do throws(VFIOError) { interrupt = try QueueInterrupt(all, vector: number) } catch { throw .vfio(error) }
            state.interrupts.append((interrupt, [id]))
            return interrupt
        }
    }

    // `inout`, because Swift 6.3 consumes an optional owner that it unwraps to borrow.
    private static func vector(
        of id: UInt16, _ engine: inout ControllerEngine
    ) throws(NVMeError) -> (of: Interrupts, number: Int) {
        let all = try engine.withDevice { (device) throws(VFIOError) in try device.interrupts(.msix) }
        // Vector 0 is that of the admin queue, which is polled, and of others only if there are too few.
        return (all, engine.quirks.contains(.oneVector) || all.count == 0 ? 0 : Int(id) % all.count)
    }

    /// Switches off the vector of a queue, if no other queue has it.
    private func returnInterrupt(of id: UInt16, _ state: inout State) throws(VFIOError) {
        guard let index = state.interrupts.firstIndex(where: { $0.queues.contains(id) }) else { return }
        state.interrupts[index].queues.remove(id)
        guard state.interrupts[index].queues.isEmpty else { return }
        try state.interrupts.remove(at: index).interrupt.close()
    }

    /// Creates a queue at the controller.
    ///
    /// After an error the queue does not exist at the controller, if necessary because of a reset; except for
    /// `.notStopped`, after which the memory is never freed.
    ///
    /// - Returns: The epoch in which the queue exists.
    func connectQueue(
        _ id: UInt16, _ memory: borrowing QueueMemory, vector: Int?
    ) throws(NVMeError) -> UInt64 {
        try state.withLock { (state) throws(NVMeError) in
            guard state.engine != nil else { throw state.ending }
            do throws(NVMeError) {
                try state.engine!.createQueue(id, memory, vector: vector)
            } catch {
                if state.engine?.isStuck == true { try restart(&state, after: error, keeping: memory.buffers) }
                throw error
            }
            return currentEpoch
        }
    }

    /// Deletes a queue at the controller, and releases its number.
    ///
    /// - Throws: `.notStopped` when the controller may still access the queue's memory, which is then never freed.
    func removeQueue(_ id: UInt16, epoch known: UInt64, _ buffers: QueueBuffers) throws(NVMeError) {
        try state.withLock { (state) throws(NVMeError) in
            state.queues.remove(id)
            // After the queue is deleted, also if that fails. The more dangerous of two errors is thrown.
            var failure: NVMeError?
            do throws(NVMeError) { try deleteQueue(id, epoch: known, buffers, &state) } catch { failure = error }
            do throws(VFIOError) { try returnInterrupt(of: id, &state) } catch { failure = failure ?? .vfio(error) }
            if let failure { throw failure }
        }
    }

    private func deleteQueue(
        _ id: UInt16, epoch known: UInt64, _ buffers: QueueBuffers, _ state: inout State
    ) throws(NVMeError) {
        // The queue is of an earlier epoch: it does not exist any more.
        guard known == currentEpoch else { return }
        guard state.engine != nil else {
            // Closed without a new epoch.
            buffers.abandon()
            throw state.ending
        }
        do throws(NVMeError) {
            try state.engine!.deleteQueue(id)
        } catch {
            try restart(&state, after: error, keeping: buffers)
            throw error
        }
    }
}
