import VFIO

/// The memory of a pool, which ends with the last of those who hold it: the pool, and each port that was made for it, whose
/// device writes there until it has been reset.
///
/// A class, which is not touched for a packet.
@safe
final class PoolMemory: @unchecked Sendable {
    // A place of its own, since what a class stores cannot be moved out of it.
    private let place: UnsafeMutablePointer<DMABuffer>
    private var isOpen = true

    init(_ buffer: consuming DMABuffer) {
        unsafe place = .allocate(capacity: 1)
        unsafe place.initialize(to: buffer)
    }

    deinit {
        if isOpen { unsafe place.deinitialize(count: 1) }
        unsafe place.deallocate()
    }

    var buffer: DMABuffer {
        _read { yield unsafe place.pointee }
    }

    /// Frees the memory. The caller has to be the only one who holds it, and may not use it any more.
    func close() throws(VFIOError) {
        isOpen = false
        try unsafe place.move().close()
    }
}
