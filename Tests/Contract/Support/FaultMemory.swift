import Synchronization

/// The faults that have been read from the log so far.
final class FaultMemory: Sendable {
    private let faults = Mutex<Set<Fault>>([])

    func insert(_ fault: Fault) { faults.withLock { _ = $0.insert(fault) } }

    var all: Set<Fault> { faults.withLock { $0 } }
}
