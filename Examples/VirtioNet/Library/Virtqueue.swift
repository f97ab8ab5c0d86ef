public import VFIO

/// A split virtqueue with one descriptor per buffer, and the driver's state for it.
public struct Virtqueue: ~Copyable, Sendable {
    /// Its number: 0 receives, 1 transmits.
    public let index: UInt16
    /// The memory of its rings, which the packet path does not access.
    let lease: PoolMemory
    /// The memory of its rings, for tests and measurements that simulate the device.
    public var memory: DMABuffer {
        _read { yield lease.buffer }
    }
    /// The layout of that memory.
    public let layout: VirtqueueLayout
    /// The offset of its doorbell in the doorbells' BAR in bytes.
    @usableFromInline let doorbell: Int
    @usableFromInline let rings: VirtqueueRings
    /// For each descriptor in use by the device its buffer; the buffer of `Packet.none` for the others.
    @usableFromInline var buffers: IndexTable
    /// The free descriptors.
    @usableFromInline var free: IndexTable
    @usableFromInline var freeCount: Int
    // Only the low 16 bits of these two are significant. They are wider because the compiler would load 32 bits
    // directly after a store of 16, which causes a store-forwarding stall.
    /// The number of the next available entry.
    @usableFromInline var nextAvailable: UInt32 = 0
    /// The number of the next used entry.
    @usableFromInline var nextUsed: UInt32 = 0

    init(index: UInt16, size: Int, doorbell: Int, in space: AddressSpace) throws(VirtioNetError) {
        let layout = VirtqueueLayout(size: size)
        let memory = try rethrowing { () throws(VFIOError) in try space.allocate(byteCount: layout.byteCount) }
        unsafe rings = VirtqueueRings(memory.unsafeBaseAddress, layout)
        self.index = index
        self.layout = layout
        lease = PoolMemory(memory)
        self.doorbell = doorbell
        buffers = IndexTable(count: size, filledWith: Packet.none.buffer)
        free = IndexTable(count: size, filledWith: 0)
        for id in 0..<size { free[id] = UInt32(size - 1 - id) }
        freeCount = size
        rings.wantInterrupts(false)
    }

    /// The number of entries.
    @inlinable public var size: Int { rings.mask &+ 1 }

    /// The number of buffers in use by the device.
    @inlinable public var outstandingCount: Int { size &- freeCount }

    /// The number of entries that the device has used since the last call.
    ///
    /// - Throws: `.usedIndexJumped` when the device reports more than it had.
    @inlinable @inline(__always)
    func pendingCount() throws(VirtioNetError) -> Int {
        let used = rings.usedIndex()
        let pending = Int(used &- UInt16(truncatingIfNeeded: nextUsed))
        guard pending <= outstandingCount else {
            throw Self.badIndex(of: index, from: UInt16(truncatingIfNeeded: nextUsed), to: used)
        }
        return pending
    }

    // Errors are created out of line, which keeps registers free on the fast path, and by functions that do not take
    // the queue, because the compiler would copy it for each call.
    /// The error for an invalid used index.
    @usableFromInline @inline(never)
    static func badIndex(of queue: UInt16, from: UInt16, to used: UInt16) -> VirtioNetError {
        .usedIndexJumped(queue: queue, from: from, to: used)
    }

    /// Takes a free descriptor. There must be one.
    @inlinable @inline(__always)
    mutating func takeDescriptor() -> UInt32 {
        freeCount &-= 1
        return free[freeCount]
    }

    @inlinable @inline(__always)
    mutating func putDescriptor(_ id: UInt32) {
        free[freeCount] = id
        freeCount &+= 1
    }

    /// Writes a descriptor to the available ring. The device sees it when it is published.
    @inlinable @inline(__always)
    mutating func makeAvailable(_ id: UInt32) {
        rings.setAvailable(nextAvailable, id)
        nextAvailable &+= 1
    }

    /// The buffer of a descriptor that the device reports as used; the buffer of `Packet.none` when it did not have it.
    @inlinable @inline(__always)
    func buffer(of id: UInt32) -> UInt32 {
        guard id <= UInt32(truncatingIfNeeded: rings.mask) else { return Packet.none.buffer }
        return buffers[Int(id)]
    }

    /// The error for an invalid entry of the used ring.
    ///
    /// - Parameter buffer: The buffer of the descriptor; that of `Packet.none` when the device did not have it.
    @usableFromInline @inline(never)
    static func badElement(
        of queue: UInt16, _ id: UInt32, _ length: UInt32, buffer: UInt32
    ) -> VirtioNetError {
        buffer == Packet.none.buffer
            ? .unknownDescriptor(queue: queue, id: id) : .badLength(queue: queue, id: id, length: length)
    }

    /// Returns all buffers to the pool, after the device has been reset.
    mutating func returnBuffers(to pool: inout PacketPool) {
        for id in 0..<size where buffers[id] != Packet.none.buffer {
            pool.put(buffers[id])
            buffers[id] = Packet.none.buffer
        }
    }
}
