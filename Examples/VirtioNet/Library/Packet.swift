/// A packet: the number of the buffer that it is in, and its length. What is in it, the pool knows.
///
/// Who has the packet has the buffer: it goes on to ``Port/transmit(_:pool:)``, or back by ``PacketPool/free(_:)``.
@frozen public struct Packet: BitwiseCopyable, Sendable, Hashable {
    /// The number of its buffer in the pool.
    public var buffer: UInt32
    /// The length of its frame in bytes, without the network's check sequence.
    public var length: UInt32

    @inlinable public init(buffer: UInt32, length: UInt32) {
        self.buffer = buffer
        self.length = length
    }

    /// No packet: what to fill an array of packets with.
    @inlinable public static var none: Packet { Packet(buffer: .max, length: 0) }
}
