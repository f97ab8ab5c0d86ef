public import VFIO

extension Port {
    /// Takes packets that have come, and gives the device new buffers in their place.
    ///
    /// - Parameters:
    ///   - packets: Filled from its start on, with as many packets as have come and it has room for.
    ///   - pool: The pool that the port was made for. When it has no buffer left, the device gets fewer.
    /// - Returns: How many packets there are; 0 when none has come.
    /// - Throws: `.usedIndexJumped`, `.unknownDescriptor` and `.badLength` for what the device cannot mean. The packets before
    ///   it are handed out first, and the port can only be closed then.
    @inlinable
    public mutating func receive(
        into packets: inout MutableSpan<Packet>, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        return try receiveBurst(into: &packets, pool: &pool)
    }

    /// As `receive`, for who knows that the pool is the port's, and has all of it in one function.
    @inlinable @inline(__always)
    mutating func receiveBurst(
        into packets: inout MutableSpan<Packet>, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        if receiveQueue.freeCount > 0 { fillReceiver(from: &pool) }
        let count = min(try receiveQueue.pendingCount(), packets.count)
        guard count > 0 else { return 0 }
        let firstAvailable = receiveQueue.nextAvailable
        for index in 0..<count {
            let (id, written) = receiveQueue.rings.usedElement(receiveQueue.nextUsed)
            let buffer = receiveQueue.buffer(of: id)
            // One comparison for both ends: a length below the header's is a huge one.
            let length = written &- UInt32(PacketHeader.byteCount)
            guard buffer != Packet.none.buffer, length <= UInt32(PacketPool.frameCapacity) else {
                return try endBurst(at: index, from: firstAvailable, id, written)
            }
            packets[index] = Packet(buffer: buffer, length: length)
            receiveQueue.nextUsed &+= 1
            if let fresh = pool.take() {
                receiveQueue.buffers[Int(id)] = fresh
                receiveQueue.rings.setAddress(id, pool.headerAddress(fresh))
                receiveQueue.makeAvailable(id)
            } else {
                receiveQueue.buffers[Int(id)] = Packet.none.buffer
                receiveQueue.putDescriptor(id)
            }
        }
        if receiveQueue.nextAvailable != firstAvailable { notify(receiveQueue) }
        return count
    }

    // Mutating, though it changes nothing: otherwise the port would be copied for the call.
    /// Ends a burst at an entry of the used ring that the device cannot mean.
    @usableFromInline @inline(never)
    mutating func endBurst(
        at index: Int, from firstAvailable: UInt32, _ id: UInt32, _ written: UInt32
    ) throws(VirtioNetError) -> Int {
        if receiveQueue.nextAvailable != firstAvailable { notify(receiveQueue) }
        if index > 0 { return index }
        throw Virtqueue.badElement(of: receiveQueue.index, id, written, buffer: receiveQueue.buffer(of: id))
    }

    /// Whether packets have come.
    ///
    /// - Throws: `.usedIndexJumped`.
    @inlinable
    public func hasPackets() throws(VirtioNetError) -> Bool {
        // It comes after what the device was told before, such as that interrupts are wanted.
        DeviceBarrier.full()
        return try receiveQueue.pendingCount() > 0
    }

    /// Gives the device buffers for all descriptors that have none, as far as the pool goes.
    @usableFromInline @inline(never)
    mutating func fillReceiver(from pool: inout PacketPool) {
        let firstAvailable = receiveQueue.nextAvailable
        while receiveQueue.freeCount > 0, let buffer = pool.take() {
            let id = receiveQueue.takeDescriptor()
            receiveQueue.buffers[Int(id)] = buffer
            receiveQueue.rings.setDescriptor(
                id, pool.headerAddress(buffer),
                lengthAndFlags: UInt64(PacketHeader.byteCount + PacketPool.frameCapacity)
                    | VirtqueueRings.deviceWrites)
            receiveQueue.makeAvailable(id)
        }
        if receiveQueue.nextAvailable != firstAvailable { notify(receiveQueue) }
    }

    /// Publishes the new entries of a queue, and tells the device of them if it wants to be told.
    @inlinable @inline(__always)
    func notify(_ queue: borrowing Virtqueue) {
        queue.rings.publish(queue.nextAvailable)
        // The device looks at the index after it has said that it wants to be told: so the other way round here.
        DeviceBarrier.full()
        if !queue.rings.isNotificationUnwanted() {
            doorbells.writeReleasing16(queue.index, at: queue.doorbell)
        }
    }
}
