/// A packet: the number of its buffer in a pool, and its length.
///
/// The owner of the packet owns the buffer, and passes it on to ``Port/transmit(_:pool:)`` or returns it with
/// ``PacketPool/free(_:)``.
@frozen public struct Packet: BitwiseCopyable, Sendable, Hashable {
    /// The number of its buffer in the pool.
    public var buffer: UInt32
    /// The length of its frame in bytes, without the frame check sequence.
    public var length: UInt32

    @inlinable public init(buffer: UInt32, length: UInt32) {
        self.buffer = buffer
        self.length = length
    }

    /// No packet: an initial value for arrays of packets.
    @inlinable public static var none: Packet { Packet(buffer: .max, length: 0) }
}
