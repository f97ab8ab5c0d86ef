public import VFIO

/// A pool of packet buffers in one DMA buffer.
///
/// Ports of one address space can share a pool, and then pass packets to one another without copying.
/// ```swift
/// var pool = try PacketPool(in: space, count: 1024)
/// if var packet = pool.allocate(length: 60) {
///     pool.frame(of: packet).write8(0xff, at: 0)
///     …
/// }
/// ```
/// Each buffer has space for the header before the frame, and the frame is aligned to 64 bytes, the size of a cache
/// line.
@safe
public struct PacketPool: ~Copyable, @unchecked Sendable {
    /// The distance between buffers in bytes.
    public static var stride: Int { 2048 }
    /// The offset of the frame in its buffer in bytes.
    @inlinable public static var frameOffset: Int { 64 }
    /// The maximum length of a frame in bytes.
    @inlinable public static var frameCapacity: Int { 2048 - 64 }

    private var lease: PoolMemory
    /// The memory of all buffers, for tests and inspection.
    public var memory: DMABuffer {
        _read { yield lease.buffer }
    }
    // Copies of the memory's addresses, because the packet path does not access the class.
    @unsafe @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let start: UInt64
    /// The number of buffers.
    public let count: Int
    @usableFromInline var free: IndexTable
    /// The number of free buffers.
    @inlinable public var freeCount: Int { available }
    @usableFromInline var available: Int

    /// Allocates the buffers.
    ///
    /// - Parameters:
    ///   - space: The address space of the ports' devices. With type1 it must have a device.
    ///   - count: The number of buffers, at least one. Each port uses as many as its receive queue has entries, and
    ///     those being sent.
    public init(in space: AddressSpace, count: Int) throws(VirtioNetError) {
        precondition(count > 0 && count < Int(UInt32.max), "a pool has at least one buffer")
        let memory = try rethrowing { () throws(VFIOError) in try space.allocate(byteCount: count * Self.stride) }
        unsafe base = memory.unsafeBaseAddress
        start = memory.iova.rawValue
        lease = PoolMemory(memory)
        self.count = count
        free = IndexTable(count: count, filledWith: 0)
        // The first buffer is on top of the stack.
        for index in 0..<count { free[index] = UInt32(count - 1 - index) }
        available = count
    }

    /// Frees the memory and reports errors of the kernel.
    ///
    /// While ports of the pool are open, they keep the memory; it is then freed with the last port, and errors are
    /// ignored.
    public consuming func close() throws(VirtioNetError) {
        guard isKnownUniquelyReferenced(&lease) else { return }
        do throws(VFIOError) { try lease.close() } catch { throw .vfio(error) }
    }

    /// A reference to the memory, for a port.
    func share() -> PoolMemory { lease }

    /// The identity of the pool: the address of its memory. While a port keeps the memory, no other pool has the same
    /// address.
    @inlinable var identity: UInt {
        @inline(__always) get { unsafe UInt(bitPattern: base) }
    }

    // MARK: Buffers

    /// Allocates a buffer for a packet to be sent; `nil` when none is free. The content is undefined.
    ///
    /// - Parameter length: The length of the frame, at most ``frameCapacity``.
    @inlinable
    public mutating func allocate(length: Int) -> Packet? {
        precondition(UInt(bitPattern: length) <= UInt(Self.frameCapacity), "the frame is longer than a buffer")
        return take().map { Packet(buffer: $0, length: UInt32(truncatingIfNeeded: length)) }
    }

    /// Frees a packet's buffer. Freeing a buffer twice is detected only when there are more free buffers than buffers:
    /// tracking each buffer would cost a store per packet.
    @inlinable
    public mutating func free(_ packet: Packet) {
        precondition(packet.buffer < UInt32(truncatingIfNeeded: count), "the packet has no buffer of this pool")
        put(packet.buffer)
    }

    /// Takes the number of a free buffer; `nil` when none is free.
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

    /// The frame of a packet. For a pool that is stored in a class or an actor, use ``withFrame(of:_:)``.
    @inlinable @inline(__always)
    @_lifetime(borrow self)
    public borrowing func frame(of packet: Packet) -> Frame {
        check(packet)
        let start = unsafe base + (Int(packet.buffer) &* Self.stride &+ Self.frameOffset)
        let frame = unsafe Frame(base: start, byteCount: Int(packet.length))
        return unsafe _overrideLifetime(frame, borrowing: self)
    }

    /// Calls a closure with the frame of a packet, wherever the pool is stored.
    ///
    /// - Throws: The error of the closure.
    @inlinable @inline(__always)
    public func withFrame<Result: ~Copyable, Failure: Error>(
        of packet: Packet, _ body: (Frame) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(frame(of: packet))
    }

    // MARK: What devices see

    /// The IOVA of a buffer's header, directly before its frame.
    @inlinable @inline(__always)
    func headerAddress(_ buffer: UInt32) -> UInt64 {
        start &+ UInt64(buffer) &* UInt64(Self.stride)
            &+ UInt64(Self.frameOffset &- PacketHeader.byteCount)
    }

    /// Clears the header of a buffer: no offloads are requested.
    @inlinable @inline(__always)
    func clearHeader(_ buffer: UInt32) {
        let header = unsafe PacketHeader(
            base: base + (Int(buffer) &* Self.stride &+ Self.frameOffset))
        header.clear()
    }
}
