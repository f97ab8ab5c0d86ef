public import VFIO

/// Buffers for packets, in one piece of memory that devices reach.
///
/// Ports of one address space can share a pool, and then hand packets to one another without a copy.
/// ```swift
/// var pool = try PacketPool(in: space, count: 1024)
/// if var packet = pool.allocate(length: 60) {
///     pool.frame(of: packet).write8(0xff, at: 0)
///     …
/// }
/// ```
/// Each buffer has room for the header that goes to the device before the frame, and the frame begins at a multiple of 64
/// bytes, as a line of the processor's cache does.
@safe
public struct PacketPool: ~Copyable, @unchecked Sendable {
    /// How far one buffer is from the next, in bytes.
    public static var stride: Int { 2048 }
    /// Where in its buffer a frame begins, in bytes.
    @inlinable public static var frameOffset: Int { 64 }
    /// The longest frame, in bytes.
    @inlinable public static var frameCapacity: Int { 2048 - 64 }

    private var lease: PoolMemory
    /// The memory of the buffers: for a test, or to look at all of it.
    public var memory: DMABuffer {
        _read { yield lease.buffer }
    }
    // Both as the memory has them, for the packets' way, which does not lead by the class.
    @unsafe @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let start: UInt64
    /// How many buffers there are.
    public let count: Int
    @usableFromInline var free: IndexTable
    /// How many buffers are free.
    @inlinable public var freeCount: Int { available }
    @usableFromInline var available: Int

    /// Allocates the buffers.
    ///
    /// - Parameters:
    ///   - space: The addresses that the ports' devices see. With type1 it needs a device first.
    ///   - count: How many buffers, at least one. Each port holds as many as its receive queue is long, and those that it
    ///     is sending.
    public init(in space: AddressSpace, count: Int) throws(VirtioNetError) {
        precondition(count > 0 && count < Int(UInt32.max), "a pool has at least one buffer")
        let memory = try rethrowing { () throws(VFIOError) in try space.allocate(byteCount: count * Self.stride) }
        unsafe base = memory.unsafeBaseAddress
        start = memory.iova.rawValue
        lease = PoolMemory(memory)
        self.count = count
        free = IndexTable(count: count, filledWith: 0)
        // The first buffer is on top.
        for index in 0..<count { free[index] = UInt32(count - 1 - index) }
        available = count
    }

    /// Frees the memory and reports what the kernel said.
    ///
    /// While there are ports that were made for it, the memory stays theirs, and goes silently with the last of them.
    public consuming func close() throws(VirtioNetError) {
        guard isKnownUniquelyReferenced(&lease) else { return }
        do throws(VFIOError) { try lease.close() } catch { throw .vfio(error) }
    }

    /// A share in the memory, for a port.
    func share() -> PoolMemory { lease }

    /// What tells the pool from all others: where its memory is. As long as a port has a share in it, no other pool's is there.
    @inlinable var identity: UInt {
        @inline(__always) get { unsafe UInt(bitPattern: base) }
    }

    // MARK: Buffers

    /// A free buffer for a packet to be sent; `nil` when none is left. What is in it is left from the last packet.
    ///
    /// - Parameter length: Of the frame, at most ``frameCapacity``.
    @inlinable
    public mutating func allocate(length: Int) -> Packet? {
        precondition(UInt(bitPattern: length) <= UInt(Self.frameCapacity), "the frame is longer than a buffer")
        return take().map { Packet(buffer: $0, length: UInt32(truncatingIfNeeded: length)) }
    }

    /// Gives a packet's buffer back. Who gives one back twice is stopped only when more buffers are free than there are:
    /// keeping account of each would cost every packet a store.
    @inlinable
    public mutating func free(_ packet: Packet) {
        precondition(packet.buffer < UInt32(truncatingIfNeeded: count), "the packet has no buffer of this pool")
        put(packet.buffer)
    }

    /// The number of a free buffer; `nil` when none is left.
    @inlinable @inline(__always)
    mutating func take() -> UInt32? {
        guard available > 0 else { return nil }
        available &-= 1
        return free[available]
    }

    @inlinable @inline(__always)
    mutating func put(_ buffer: UInt32) {
        precondition(available < count, "more buffers were given back than there are")
        free[available] = buffer
        available &+= 1
    }

    // MARK: Frames

    @inlinable @inline(__always)
    func check(_ packet: Packet) {
        precondition(
            packet.buffer < UInt32(truncatingIfNeeded: count) && packet.length <= UInt32(Self.frameCapacity),
            "the packet is none of this pool")
    }

    /// The frame of a packet: its bytes, to be read and written. Of a pool that is kept in a class or an actor there is
    /// ``withFrame(of:_:)`` instead.
    @inlinable @inline(__always)
    @_lifetime(borrow self)
    public borrowing func frame(of packet: Packet) -> Frame {
        check(packet)
        let start = unsafe base + (Int(packet.buffer) &* Self.stride &+ Self.frameOffset)
        let frame = unsafe Frame(base: start, byteCount: Int(packet.length))
        return unsafe _overrideLifetime(frame, borrowing: self)
    }

    /// Gives access to the frame of a packet for the duration of a closure, wherever the pool is kept.
    ///
    /// - Throws: What the closure throws.
    @inlinable @inline(__always)
    public func withFrame<Result: ~Copyable, Failure: Error>(
        of packet: Packet, _ body: (Frame) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(frame(of: packet))
    }

    // MARK: What devices see

    /// Where devices find the header of a buffer, right before its frame.
    @inlinable @inline(__always)
    func headerAddress(_ buffer: UInt32) -> UInt64 {
        start &+ UInt64(buffer) &* UInt64(Self.stride)
            &+ UInt64(Self.frameOffset &- PacketHeader.byteCount)
    }

    /// Clears the header of a buffer: nothing of the frame is left for the device to do.
    @inlinable @inline(__always)
    func clearHeader(_ buffer: UInt32) {
        let header = unsafe PacketHeader(
            base: base + (Int(buffer) &* Self.stride &+ Self.frameOffset))
        header.clear()
    }
}
