internal import Synchronization
internal import VFIO

/// The open queues of a virtual IOMMU, for the dependencies between them.
///
/// A class, since a noncopyable owner with a lock in an asynchronous function crashes the compiler (Swift 6.3).
final class HardwareQueues: Sendable {
    private struct Entry: Sendable {
        let index: UInt32
        weak let object: IOMMUFDObject?
    }

    private let entries = Mutex<[Entry]>([])

    func insert(_ object: IOMMUFDObject, index: UInt32) {
        entries.withLock { $0.append(Entry(index: index, object: object)) }
    }

    /// Returns the queues of lower index. The hardware chains a queue to them, and the kernel destroys them only after
    /// it.
    func before(_ index: UInt32) -> [IOMMUFDObject] {
        entries.withLock { entries in
            entries.removeAll { $0.object == nil }
            return entries.filter { $0.index < index }.compactMap(\.object)
        }
    }
}
