import Synchronization

/// A queue that a thread beside the test's works with.
final class SharedQueue: Sendable {
    private let queue: Mutex<QueuePair?>

    init(_ queue: consuming QueuePair) { self.queue = Mutex(queue) }

    /// Works with the queue.
    func with<Result: Sendable>(_ body: (inout QueuePair) throws -> Result) rethrows -> Result {
        try queue.withLock { try body(&$0!) }
    }

    /// Ends the life of the queue.
    func drop() { queue.withLock { $0 = nil } }
}
