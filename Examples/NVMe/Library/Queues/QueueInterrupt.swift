internal import Synchronization
internal import VFIO

/// An interrupt vector that one queue or several wait for, where there are fewer vectors than queues.
///
/// Where the number of vectors is fixed, one can be lost when another one is enabled. It is then enabled again, since a
/// queue that slept without it would find each completion late, and one whose wait failed would reset the controller. If
/// the kernel refuses that, too, its queues poll: there is nothing to sleep until.
final class QueueInterrupt: Sendable {
    private struct State: ~Copyable, Sendable {
        /// Where the vector is enabled again; `nil` after it was closed.
        var interrupts: Interrupts?
        var vector: InterruptVector?
    }

    let number: Int
    private let state: Mutex<State>
    private let wakeCount = Atomic<UInt64>(0)
    private let isLost = Atomic<Bool>(false)

    /// Enables a vector.
    init(_ interrupts: Interrupts, vector number: Int) throws(VFIOError) {
        self.number = number
        state = Mutex(State(interrupts: interrupts, vector: try interrupts.enable(vector: number)))
    }

    /// Whether there is something to wait for.
    var isOn: Bool { !isLost.load(ordering: .relaxed) }

    /// The number of waits that have ended. A queue reads it before it looks for completions a last time, and waits only
    /// if it is still the same: one that ended meanwhile may have consumed the interrupt of this queue.
    var turn: UInt64 { wakeCount.load(ordering: .acquiring) }

    /// Waits for the interrupt, or until another queue's wait ends. May return early.
    ///
    /// One queue waits with the lock held. The others wait for the lock, and return as soon as they have it.
    func wait(turn: UInt64, timeout: Duration) throws(VFIOError) {
        guard isOn else { return }
        try state.withLock { (state) throws(VFIOError) in
            guard self.turn == turn else { return }
            defer { wakeCount.add(1, ordering: .acquiringAndReleasing) }
            do throws(VFIOError) {
                switch state.vector {
                case .some(let vector): try vector.wait(timeout: timeout)
                case .none: break
                }
            } catch {
                guard error.code == .interruptLost else { throw error }
                // An interrupt may be missed meanwhile: whoever waits looks for completions before the next wait.
                replaceVector(&state)
            }
        }
    }

    private func replaceVector(_ state: inout State) {
        // It is off already.
        if let vector = state.vector.take() { try? vector.close() }
        state.vector = try? state.interrupts?.enable(vector: number)
        if state.vector == nil { isLost.store(true, ordering: .relaxed) }
    }

    /// Switches the vector off. No queue waits for it any more.
    func close() throws(VFIOError) {
        let vector = state.withLock { state in
            state.interrupts = nil
            return state.vector.take()
        }
        if let vector { try vector.close() }
    }
}
