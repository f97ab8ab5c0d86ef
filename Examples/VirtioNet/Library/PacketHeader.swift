public import VFIO

/// What precedes each frame in memory that the device reads or writes: `virtio_net_hdr` (virtio 1.2, 5.1.6), 12 bytes, which
/// end where the frame begins.
@safe @usableFromInline
struct PacketHeader {
    /// Its length, as any device of version 1.0 has it.
    @inlinable @inline(__always)
    static var byteCount: Int { 12 }

    @usableFromInline let end: RingMemory

    /// - Parameter base: Where the frame begins, with at least 16 bytes of the buffer before it.
    @inlinable @inline(__always)
    init(base: UnsafeMutableRawPointer) { end = unsafe RingMemory(base - 16) }

    /// No checksum to be filled in, no segments to be made, and no count of buffers, which is the device's to write.
    @inlinable @inline(__always)
    func clear() {
        end.write32(0, at: 4)
        end.write64(0, at: 8)
    }
}
