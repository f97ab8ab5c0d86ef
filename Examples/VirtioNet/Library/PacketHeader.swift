public import VFIO

/// The header before each frame in memory shared with the device: `virtio_net_hdr` (virtio 1.2, 5.1.6), 12 bytes, which
/// end where the frame begins.
@safe @usableFromInline
struct PacketHeader {
    /// Its length for devices of version 1.0 and newer.
    @inlinable @inline(__always)
    static var byteCount: Int { 12 }

    @usableFromInline let end: RingMemory

    /// - Parameter base: The start of the frame, with at least 16 bytes of the buffer before it.
    @inlinable @inline(__always)
    init(base: UnsafeMutableRawPointer) { end = unsafe RingMemory(base - 16) }

    /// Requests no checksum and no segmentation; the number of buffers is written by the device.
    @inlinable @inline(__always)
    func clear() {
        end.write32(0, at: 4)
        end.write64(0, at: 8)
    }
}
