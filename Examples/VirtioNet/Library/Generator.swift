/// Sends numbered test frames.
public struct Generator: ~Copyable, Sendable {
    /// The frame that is sent.
    public let frame: TestFrame
    /// The number of the next frame.
    public private(set) var nextNumber: UInt64 = 0
    private var storage: PacketStorage

    /// - Parameters:
    ///   - frame: The frame to send.
    ///   - batchSize: The maximum size of a burst.
    public init(_ frame: TestFrame, batchSize: Int = 32) {
        precondition(batchSize > 0, "a batch has at least one frame")
        self.frame = frame
        storage = PacketStorage(count: batchSize)
    }

    /// Sends one batch of frames, limited by the available buffers and queue entries.
    ///
    /// - Parameters:
    ///   - count: The maximum number of frames.
    ///   - port: The port that sends them.
    ///   - pool: The port's pool.
    /// - Returns: The number of frames sent.
    /// - Throws: As `transmit` of ``Port``.
    public mutating func send(
        upTo count: Int, by port: inout Port, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        try port.reclaim(to: &pool)
        let room = min(count, storage.count, port.transmitter.size - port.transmitter.outstandingCount)
        var made = 0
        let (frame, first) = (frame, nextNumber)
        var packets = storage.packets
        while made < room, let packet = pool.allocate(length: TestFrame.byteCount) {
            frame.write(first &+ UInt64(made), to: pool.frame(of: packet))
            packets[made] = packet
            made += 1
        }
        let sent: Int
        do throws(VirtioNetError) {
            sent = try port.transmit(packets.span.extracting(..<made), pool: &pool)
        } catch {
            for index in 0..<made { pool.free(packets[index]) }
            throw error
        }
        for index in sent..<made { pool.free(packets[index]) }
        nextNumber &+= UInt64(sent)
        return sent
    }
}
