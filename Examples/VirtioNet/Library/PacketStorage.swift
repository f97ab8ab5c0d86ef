/// Storage for a burst of packets. Unlike an array, it has no uniqueness check on mutation.
@safe @usableFromInline
struct PacketStorage: ~Copyable, @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<Packet>
    @usableFromInline let count: Int

    init(count: Int) {
        unsafe base = .allocate(capacity: count)
        unsafe base.initialize(repeating: .none, count: count)
        self.count = count
    }

    @inlinable
    deinit { unsafe base.deallocate() }

    @inlinable
    var packets: MutableSpan<Packet> {
        @_lifetime(&self) @inline(__always)
        mutating get {
            let span = unsafe MutableSpan(_unsafeStart: base, count: count)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }
}
