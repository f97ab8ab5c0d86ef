public import VFIO

/// Memory without bounds checks. Offsets are known to be valid: those of a ring are masked, those of a packet's header
/// constant.
///
/// Not for other uses: an access outside of the memory is not detected.
@safe @usableFromInline
struct RingMemory: VolatileMemory {
    @unsafe @usableFromInline let unsafeBaseAddress: UnsafeMutableRawPointer
    /// A constant larger than all offsets, with which the compiler removes the bounds checks.
    @inlinable var byteCount: Int {
        @inline(__always) get { 1 << 40 }
    }

    @inlinable @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { unsafe unsafeBaseAddress = base }
}
