internal import Synchronization
internal import VFIO

/// An interrupt vector that one queue or several wait for, where there are fewer vectors than queues.
final class QueueInterrupt: Sendable {
    let number: Int
    private let vector: Mutex<InterruptVector?>
    private let wakeCount = Atomic<UInt64>(0)

    init(_ vector: consuming InterruptVector) {
        number = vector.vector
        self.vector = Mutex(vector)
    }

    /// The number of waits that have ended. A queue reads it before it looks for completions a last time, and waits only
    /// if it is still the same: one that ended meanwhile may have consumed the interrupt of this queue.
    var turn: UInt64 { wakeCount.load(ordering: .acquiring) }

    /// Waits for the interrupt, or until another queue's wait ends. May return early.
    ///
    /// One queue waits with the lock held. The others wait for the lock, and return as soon as they have it.
    func wait(turn: UInt64, timeout: Duration) throws(VFIOError) {
        try vector.withLock { (vector) throws(VFIOError) in
            guard self.turn == turn else { return }
            defer { wakeCount.add(1, ordering: .acquiringAndReleasing) }
            switch vector {
            case .some(let vector): try vector.wait(timeout: timeout)
            case .none: break
            }
        }
    }

    /// Switches the vector off. No queue waits for it any more.
    func close() throws(VFIOError) {
        guard let vector = vector.withLock({ $0.take() }) else { return }
        try vector.close()
    }
}
