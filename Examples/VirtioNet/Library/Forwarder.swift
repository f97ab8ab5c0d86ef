public import VFIO

/// Forwards packets between two ports, in bursts and without copying, and counts them.
///
/// It increments one byte of each packet, so that each packet is accessed, as in a router.
/// ```swift
/// var forwarder = Forwarder(first, second, pool: pool, batchSize: 32)
/// while isRunning { try forwarder.forward() }
/// print(forwarder.fromFirst.sent, forwarder.fromSecond.sent)
/// ```
public struct Forwarder: ~Copyable, Sendable {
    /// Packet counts of one direction.
    @frozen public struct Counts: Sendable, Hashable {
        /// Packets received from the source port.
        public var received: UInt64 = 0
        /// Packets sent by the target port.
        public var sent: UInt64 = 0
        /// Packets dropped because the target port's queue was full.
        public var dropped: UInt64 = 0

        @inlinable public init() {}
    }

    /// The two ports. Packets can also be sent through either directly.
    public var first: Port
    public var second: Port
    /// The buffers of both ports.
    public var pool: PacketPool
    /// Packets from the first port to the second.
    public var fromFirst = Counts()
    /// Packets from the second port to the first.
    public var fromSecond = Counts()
    @usableFromInline var storage: PacketStorage

    /// The number of forwarded packets in both directions.
    public var forwardedCount: Int { Int(truncatingIfNeeded: fromFirst.sent &+ fromSecond.sent) }

    /// - Parameters:
    ///   - first: A port.
    ///   - second: Another port of the same address space.
    ///   - pool: The pool of both ports. It needs at least as many buffers as the four queues have entries: with fewer,
    ///     all buffers could be in the transmit queues while the forwarder waits for packets.
    ///   - batchSize: The maximum size of a burst.
    public init(_ first: consuming Port, _ second: consuming Port, pool: consuming PacketPool, batchSize: Int) {
        precondition(batchSize > 0, "a batch has at least one packet")
        precondition(
            first.poolIdentity == pool.identity && second.poolIdentity == pool.identity,
            "a port was made for another pool")
        precondition(
            pool.count >= first.receiver.size + first.transmitter.size + second.receiver.size + second.transmitter.size,
            "the pool has fewer buffers than the queues of both ports have entries")
        self.first = first
        self.second = second
        self.pool = pool
        storage = PacketStorage(count: batchSize)
    }

    /// Forwards one burst in each direction. The first call gives the devices their receive buffers.
    ///
    /// - Returns: The number of received packets.
    /// - Throws: As `receive` and `transmit` of ``Port``.
    @inlinable @discardableResult
    public mutating func forward() throws(VirtioNetError) -> Int {
        precondition(
            first.poolIdentity == pool.identity && second.poolIdentity == pool.identity,
            "a port was made for another pool")
        let forth = try Self.forward(from: &first, to: &second, pool: &pool, storage: &storage)
        fromFirst += forth
        let back = try Self.forward(from: &second, to: &first, pool: &pool, storage: &storage)
        fromSecond += back
        return Int(truncatingIfNeeded: forth.received &+ back.received)
    }

    /// Forwards one burst in one direction.
    @inlinable
    static func forward(
        from source: inout Port, to target: inout Port, pool: inout PacketPool, storage: inout PacketStorage
    ) throws(VirtioNetError) -> Counts {
        var counts = Counts()
        var span = storage.packets
        let count = try source.receiveBurst(into: &span, pool: &pool)
        guard count > 0 else {
            // Sent buffers are needed for receiving, even if there is nothing to send.
            try target.reclaimBurst(to: &pool)
            return counts
        }
        for index in 0..<count {
            let frame = pool.frame(of: span[index])
            if frame.byteCount > TestFrame.hopOffset {
                frame.write8(frame.read8(at: TestFrame.hopOffset) &+ 1, at: TestFrame.hopOffset)
            }
        }
        var sent = 0
        defer {
            for index in sent..<count { pool.free(span[index]) }
        }
        sent = try target.transmitBurst(span.span.extracting(..<count), pool: &pool, areChecked: true)
        counts.received = UInt64(truncatingIfNeeded: count)
        counts.sent = UInt64(truncatingIfNeeded: sent)
        counts.dropped = UInt64(truncatingIfNeeded: count &- sent)
        return counts
    }

    /// Waits until a packet has arrived at one of the ports. Blocks the thread.
    ///
    /// - Parameter timeout: The maximum time to wait.
    /// - Returns: Whether there are packets to forward.
    /// - Throws: As `wait` of ``Port``.
    public mutating func wait(timeout: Duration) throws(VirtioNetError) -> Bool {
        // Bounded, so that no sum of durations overflows.
        let deadline = ContinuousClock.now + min(max(timeout, .zero), .seconds(1 << 32))
        first.receiveQueue.rings.wantInterrupts(true)
        second.receiveQueue.rings.wantInterrupts(true)
        defer {
            first.receiveQueue.rings.wantInterrupts(false)
            second.receiveQueue.rings.wantInterrupts(false)
        }
        while true {
            if try first.hasPackets() { return true }
            if try second.hasPackets() { return true }
            let left = deadline - .now
            guard left > .zero else { return false }
            try EitherInterrupt.wait(first.interrupt, second.interrupt, timeout: left)
            try first.check()
            try second.check()
        }
    }

    /// Closes both ports and the pool.
    ///
    /// - Throws: The first error; everything is closed anyway.
    public consuming func close() throws(VirtioNetError) {
        var failure: VirtioNetError?
        do throws(VirtioNetError) { try first.close(returningBuffersTo: &pool) } catch { failure = error }
        do throws(VirtioNetError) { try second.close(returningBuffersTo: &pool) } catch { failure = failure ?? error }
        do throws(VirtioNetError) { try pool.close() } catch { failure = failure ?? error }
        if let failure { throw failure }
    }
}

extension Forwarder.Counts {
    @inlinable
    static func += (left: inout Self, right: Self) {
        left.received &+= right.received
        left.sent &+= right.sent
        left.dropped &+= right.dropped
    }
}

extension Forwarder.Counts: CustomStringConvertible {
    public var description: String { "\(received) received, \(sent) sent, \(dropped) dropped" }
}
