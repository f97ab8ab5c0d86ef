extension Port {
    /// Sends packets, as many as the queue has room for, and gives the buffers of those that have been sent to the pool.
    ///
    /// - Parameters:
    ///   - packets: From the pool. The buffers of those that are taken are the port's from here on.
    ///   - pool: The pool that the port was made for.
    /// - Returns: How many packets were taken, from the first on.
    /// - Throws: `.usedIndexJumped` and `.unknownDescriptor` for what the device cannot mean; no packet is taken then.
    @inlinable
    public mutating func transmit(
        _ packets: Span<Packet>, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        return try transmitBurst(packets, pool: &pool, areChecked: false)
    }

    /// As `transmit`, for who knows that the pool is the port's, and has all of it in one function.
    ///
    /// - Parameter areChecked: Whether the packets are known to be of the pool.
    @inlinable @inline(__always)
    mutating func transmitBurst(
        _ packets: Span<Packet>, pool: inout PacketPool, areChecked: Bool
    ) throws(VirtioNetError) -> Int {
        try reclaimBurst(to: &pool)
        let count = min(packets.count, transmitQueue.freeCount)
        guard count > 0 else { return 0 }
        for index in 0..<count {
            let packet = packets[index]
            if !areChecked { pool.check(packet) }
            pool.clearHeader(packet.buffer)
            let id = transmitQueue.takeDescriptor()
            transmitQueue.buffers[Int(id)] = packet.buffer
            transmitQueue.rings.setDescriptor(
                id, pool.headerAddress(packet.buffer),
                lengthAndFlags: UInt64(packet.length) &+ UInt64(PacketHeader.byteCount))
            transmitQueue.makeAvailable(id)
        }
        notify(transmitQueue)
        return count
    }

    /// Gives the buffers of packets that have been sent back to the pool.
    ///
    /// - Throws: As for `transmit`.
    @inlinable @inline(__always)
    public mutating func reclaim(to pool: inout PacketPool) throws(VirtioNetError) {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        try reclaimBurst(to: &pool)
    }

    /// As `reclaim`, for who knows that the pool is the port's.
    @inlinable @inline(__always)
    mutating func reclaimBurst(to pool: inout PacketPool) throws(VirtioNetError) {
        var pending = try transmitQueue.pendingCount()
        while pending > 0 {
            pending &-= 1
            let id = transmitQueue.rings.usedDescriptor(transmitQueue.nextUsed)
            let buffer = transmitQueue.buffer(of: id)
            guard buffer != Packet.none.buffer else {
                throw Virtqueue.badElement(of: transmitQueue.index, id, 0, buffer: buffer)
            }
            transmitQueue.buffers[Int(id)] = Packet.none.buffer
            transmitQueue.putDescriptor(id)
            transmitQueue.nextUsed &+= 1
            pool.put(buffer)
        }
    }
}
