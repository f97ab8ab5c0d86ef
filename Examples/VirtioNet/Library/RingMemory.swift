public import VFIO

/// Memory whose offsets are known to be inside of it, so that comparing them is left out: those of a ring are masked, those
/// of a packet's header fixed.
///
/// Not for anything else: an access outside is not noticed.
@safe @usableFromInline
struct RingMemory: VolatileMemory {
    @unsafe @usableFromInline let unsafeBaseAddress: UnsafeMutableRawPointer
    /// A constant beyond all offsets, for which the compiler leaves out the comparison.
    @inlinable var byteCount: Int {
        @inline(__always) get { 1 << 40 }
    }

    @inlinable @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { unsafe unsafeBaseAddress = base }
}
