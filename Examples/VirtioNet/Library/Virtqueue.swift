public import VFIO

/// A split virtqueue of one-descriptor buffers, and what the driver remembers of it.
public struct Virtqueue: ~Copyable, Sendable {
    /// Its number: 0 receives, 1 transmits.
    public let index: UInt16
    /// The memory of its rings: for a test or a measurement that plays the device.
    public let memory: DMABuffer
    /// Where in the memory they are.
    public let layout: VirtqueueLayout
    /// Where its doorbell is in the BAR of the doorbells, in bytes.
    @usableFromInline let doorbell: Int
    @usableFromInline let rings: VirtqueueRings
    /// The buffer behind each descriptor that the device has; `Packet.none`'s behind the others.
    @usableFromInline var buffers: IndexTable
    /// The descriptors that the device does not have.
    @usableFromInline var free: IndexTable
    @usableFromInline var freeCount: Int
    // Of these two only the low 16 bits count. They are wider, since the compiler would load 32 bits right after 16 were
    // stored, and the processor would then wait until the store has reached the cache.
    /// The number of the next entry that is made available.
    @usableFromInline var nextAvailable: UInt32 = 0
    /// The number of the next entry that the device uses.
    @usableFromInline var nextUsed: UInt32 = 0

    init(index: UInt16, size: Int, doorbell: Int, in space: AddressSpace) throws(VirtioNetError) {
        let layout = VirtqueueLayout(size: size)
        let memory = try rethrowing { () throws(VFIOError) in try space.allocate(byteCount: layout.byteCount) }
        unsafe rings = VirtqueueRings(memory.unsafeBaseAddress, layout)
        self.index = index
        self.layout = layout
        self.memory = memory
        self.doorbell = doorbell
        buffers = IndexTable(count: size, filledWith: Packet.none.buffer)
        free = IndexTable(count: size, filledWith: 0)
        for id in 0..<size { free[id] = UInt32(size - 1 - id) }
        freeCount = size
        rings.wantInterrupts(false)
    }

    /// How many entries it has.
    @inlinable public var size: Int { rings.mask &+ 1 }

    /// How many buffers the device has.
    @inlinable public var outstandingCount: Int { size &- freeCount }

    /// How many entries the device has used since the last look.
    ///
    /// - Throws: `.usedIndexJumped` when it says that it has used more than it had.
    @inlinable @inline(__always)
    func pendingCount() throws(VirtioNetError) -> Int {
        let used = rings.usedIndex()
        let pending = Int(used &- UInt16(truncatingIfNeeded: nextUsed))
        guard pending <= outstandingCount else {
            throw Self.badIndex(of: index, from: UInt16(truncatingIfNeeded: nextUsed), to: used)
        }
        return pending
    }

    // Errors are made out of line, which leaves the registers to the packets that are right; and by functions that do not take
    // the queue itself, which the compiler would copy for them, each time.
    /// What is wrong with a used ring's index.
    @usableFromInline @inline(never)
    static func badIndex(of queue: UInt16, from: UInt16, to used: UInt16) -> VirtioNetError {
        .usedIndexJumped(queue: queue, from: from, to: used)
    }

    /// Takes a descriptor that is free. There has to be one.
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

    /// Puts a descriptor into the available ring, for the device to see once it is published.
    @inlinable @inline(__always)
    mutating func makeAvailable(_ id: UInt32) {
        rings.setAvailable(nextAvailable, id)
        nextAvailable &+= 1
    }

    /// The buffer behind a descriptor that the device says it has used; `Packet.none`'s when it did not have it.
    @inlinable @inline(__always)
    func buffer(of id: UInt32) -> UInt32 {
        guard id <= UInt32(truncatingIfNeeded: rings.mask) else { return Packet.none.buffer }
        return buffers[Int(id)]
    }

    /// What is wrong with an entry of the used ring.
    ///
    /// - Parameter buffer: The one behind the descriptor, `Packet.none`'s when the device did not have it.
    @usableFromInline @inline(never)
    static func badElement(
        of queue: UInt16, _ id: UInt32, _ length: UInt32, buffer: UInt32
    ) -> VirtioNetError {
        buffer == Packet.none.buffer
            ? .unknownDescriptor(queue: queue, id: id) : .badLength(queue: queue, id: id, length: length)
    }

    /// Gives all buffers back to the pool, once the device has been reset.
    mutating func returnBuffers(to pool: inout PacketPool) {
        for id in 0..<size where buffers[id] != Packet.none.buffer {
            pool.put(buffers[id])
            buffers[id] = Packet.none.buffer
        }
    }
}
