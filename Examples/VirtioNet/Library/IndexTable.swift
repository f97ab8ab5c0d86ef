/// Numbers by number: the free buffers of a pool, the buffers behind a queue's descriptors.
///
/// It has a power of two of places, and of an index only the low bits count: so no access is outside of it, and none needs
/// to be compared.
@safe @usableFromInline
struct IndexTable: ~Copyable, @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<UInt32>
    @usableFromInline let mask: Int

    /// A place for each number below `count`, and more up to the next power of two.
    init(count: Int, filledWith value: UInt32) {
        var places = 1
        while places < count { places *= 2 }
        unsafe base = .allocate(capacity: places)
        unsafe base.initialize(repeating: value, count: places)
        mask = places - 1
    }

    @inlinable
    deinit { unsafe base.deallocate() }

    @inlinable
    subscript(index: Int) -> UInt32 {
        @inline(__always) get { unsafe base[index & mask] }
        @inline(__always) set { unsafe base[index & mask] = newValue }
    }
}
