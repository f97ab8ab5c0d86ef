internal import Synchronization
internal import VFIO

/// The queues of a virtual IOMMU that live, for what one of them means to the others.
///
/// A class: an owner with a lock in it, in an asynchronous function, crashes the compiler (Swift 6.3).
final class HardwareQueues: Sendable {
    private struct Entry: Sendable {
        let index: UInt32
        weak let object: IOMMUFDObject?
    }

    private let entries = Mutex<[Entry]>([])

    func insert(_ object: IOMMUFDObject, index: UInt32) {
        entries.withLock { $0.append(Entry(index: index, object: object)) }
    }

    /// Those of a lower index. Hardware chains a queue to them, and the kernel destroys them only after it.
    func before(_ index: UInt32) -> [IOMMUFDObject] {
        entries.withLock { entries in
            entries.removeAll { $0.object == nil }
            return entries.filter { $0.index < index }.compactMap(\.object)
        }
    }
}
