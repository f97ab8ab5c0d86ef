extension Port {
    /// Sends packets, limited by the free queue entries, and returns the buffers of sent packets to the pool.
    ///
    /// - Parameters:
    ///   - packets: Packets of the pool. The port takes ownership of the buffers of those that it accepts.
    ///   - pool: The port's pool.
    /// - Returns: The number of accepted packets, from the first on.
    /// - Throws: `.usedIndexJumped` and `.unknownDescriptor` for invalid values of the device; no packet is accepted
    ///   then.
    @inlinable
    public mutating func transmit(
        _ packets: Span<Packet>, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        return try transmitBurst(packets, pool: &pool, areChecked: false)
    }

    /// As `transmit`, without the check that the pool is the port's, in one function.
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

    /// Returns the buffers of sent packets to the pool.
    ///
    /// - Throws: As `transmit`.
    @inlinable @inline(__always)
    public mutating func reclaim(to pool: inout PacketPool) throws(VirtioNetError) {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        try reclaimBurst(to: &pool)
    }

    /// As `reclaim`, without the check that the pool is the port's.
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
