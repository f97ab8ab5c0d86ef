/// An array of numbers: the free buffers of a pool, or the buffers of a queue's descriptors.
///
/// Indices are the driver's own, or a device's that were compared with the queue's length before, so bounds are checked
/// in debug builds only.
@safe @usableFromInline
struct IndexTable: ~Copyable, @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<UInt32>
    @usableFromInline let count: Int

    /// Creates a table with the indices below `count`.
    init(count: Int, filledWith value: UInt32) {
        unsafe base = .allocate(capacity: count)
        unsafe base.initialize(repeating: value, count: count)
        self.count = count
    }

    @inlinable
    deinit { unsafe base.deallocate() }

    @inlinable
    subscript(index: Int) -> UInt32 {
        @inline(__always) get {
            assert(index >= 0 && index < count, "no place of the table")
            return unsafe base[index]
        }
        @inline(__always) set {
            assert(index >= 0 && index < count, "no place of the table")
            unsafe base[index] = newValue
        }
    }
}
