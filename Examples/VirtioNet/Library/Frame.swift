public import VFIO

/// The bytes of a packet, from the destination's address on.
///
/// An access outside of the frame, or at an offset that is no multiple of its width, stops the program. Values are in the
/// CPU's byte order: those of the network's protocols are the other way round.
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
