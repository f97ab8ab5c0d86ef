public import VFIO

extension Port {
    /// Takes received packets, and gives the device new buffers in their place.
    ///
    /// - Parameters:
    ///   - packets: Receives the packets, from its first element on.
    ///   - pool: The port's pool. If it has no free buffers, the device gets fewer.
    /// - Returns: The number of packets; 0 when none has arrived.
    /// - Throws: `.usedIndexJumped`, `.unknownDescriptor` and `.badLength` for invalid values of the device. The
    ///   packets before the error are returned first; the port can then only be closed.
    @inlinable
    public mutating func receive(
        into packets: inout MutableSpan<Packet>, pool: inout PacketPool
    ) throws(VirtioNetError) -> Int {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        return try receiveBurst(into: &packets, pool: &pool)
    }

    /// As `receive`, without the check that the pool is the port's, in one function.
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
            // One comparison for both bounds: a length below the header's wraps to a large value.
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

    // Mutating, though it changes nothing, because otherwise the port would be copied for the call.
    /// Ends a burst at an invalid entry of the used ring.
    @usableFromInline @inline(never)
    mutating func endBurst(
        at index: Int, from firstAvailable: UInt32, _ id: UInt32, _ written: UInt32
    ) throws(VirtioNetError) -> Int {
        if receiveQueue.nextAvailable != firstAvailable { notify(receiveQueue) }
        if index > 0 { return index }
        throw Virtqueue.badElement(of: receiveQueue.index, id, written, buffer: receiveQueue.buffer(of: id))
    }

    /// Whether packets have arrived.
    ///
    /// - Throws: `.usedIndexJumped`.
    @inlinable
    public func hasPackets() throws(VirtioNetError) -> Bool {
        // Orders the read after earlier writes, such as a request for interrupts.
        DeviceBarrier.full()
        return try receiveQueue.pendingCount() > 0
    }

    /// Gives the device buffers for all free descriptors, as long as the pool has free buffers.
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

    /// Publishes the new entries of a queue, and notifies the device if it requests notifications.
    @inlinable @inline(__always)
    func notify(_ queue: borrowing Virtqueue) {
        queue.rings.publish(queue.nextAvailable)
        // The device sets its flag and then reads the index; the driver does both in the opposite order.
        DeviceBarrier.full()
        if !queue.rings.isNotificationUnwanted() {
            doorbells.writeReleasing16(queue.index, at: queue.doorbell)
        }
    }
}
