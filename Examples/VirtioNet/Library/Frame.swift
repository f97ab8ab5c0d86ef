public import VFIO

/// The bytes of a packet, starting with the destination address.
///
/// An access outside of the frame, or at an offset that is not a multiple of its width, traps. Values are in the CPU's
/// byte order; network protocols use big-endian byte order.
@safe
public struct Frame: ~Escapable, Copyable, VolatileMemory {
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    public let byteCount: Int

    @usableFromInline @inline(__always)
    @_lifetime(borrow base)
    init(base: borrowing UnsafeMutableRawPointer, byteCount: Int) {
        unsafe self.unsafeBaseAddress = unsafe copy base
        self.byteCount = byteCount
    }
}
