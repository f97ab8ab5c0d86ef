public import VFIO

/// The memory of a ring, whose places are known to be inside of it, so that comparing them is left out: the driver alone
/// counts them, and turns over at the ring's length. The controller has no part in it.
///
/// Not for anything else: an access outside is not noticed.
@safe @usableFromInline
struct RingMemory: VolatileMemory, @unchecked Sendable {
    @unsafe @usableFromInline let unsafeBaseAddress: UnsafeMutableRawPointer
    /// A constant beyond all offsets, for which the compiler leaves out the comparison.
    @inlinable var byteCount: Int {
        @inline(__always) get { 1 << 40 }
    }

    init(_ buffer: borrowing DMABuffer) { unsafe unsafeBaseAddress = buffer.unsafeBaseAddress }

    /// Where an entry is; a ring has 65536 at most, and the compiler is to know that.
    @inlinable @inline(__always)
    static func offset(of entry: Int, byteShift: Int) -> Int { (entry & 0xffff) &<< byteShift }
}
