import VFIO

/// The memory of a pool, shared by the pool and by each port of the pool, or that of a port's queue, whose device may
/// write there until it has been reset. It is freed with the last reference.
///
/// A class, which the packet path does not access.
@safe
final class PoolMemory: @unchecked Sendable {
    // Allocated separately, because a stored property of a class cannot be consumed.
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

    /// Leaks the memory, which stays mapped, because a device may still access it.
    func abandon() { _ = unsafe Unmanaged.passRetained(self) }

    var buffer: DMABuffer {
        _read { yield unsafe place.pointee }
    }

    /// Frees the memory. The caller must hold the only reference, and must not use it any more.
    func close() throws(VFIOError) {
        isOpen = false
        try unsafe place.move().close()
    }
}
