public import VFIO

/// The memory of a ring or of page lists, without bounds checks. Offsets are known to be valid: only the driver computes
/// them, wraps them at the ring's length, and limits lists to a command's pages, independently of the controller.
///
/// Not for other uses: an access outside of the memory is not detected.
@safe @usableFromInline
struct RingMemory: VolatileMemory, @unchecked Sendable {
    @unsafe @usableFromInline let unsafeBaseAddress: UnsafeMutableRawPointer
    /// A constant larger than all offsets, with which the compiler removes the bounds checks.
    @inlinable var byteCount: Int {
        @inline(__always) get { 1 << 40 }
    }

    init(_ buffer: borrowing DMABuffer) { unsafe unsafeBaseAddress = buffer.unsafeBaseAddress }

    /// The address of an entry. A ring has at most 65536 entries; the type tells the compiler so.
    @inlinable @inline(__always)
    static func offset(of entry: Int, byteShift: Int) -> Int { (entry & 0xffff) &<< byteShift }
}
