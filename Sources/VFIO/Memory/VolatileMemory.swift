public import CMMIO

/// Memory that a device also accesses: a mapped BAR, a DMA buffer, or a view of one.
///
/// Each access is one load or store of exactly its width, never merged, dropped, split or repeated by the compiler. An
/// access outside of the memory, or at an offset that is not a multiple of its width, traps, as an index outside of an
/// array does. Values are in the CPU's byte order, which is little-endian on the machines that support VFIO, as PCI
/// devices are.
public protocol VolatileMemory: ~Copyable, ~Escapable {
    /// The length in bytes.
    var byteCount: Int { get }

    /// The first byte, which is page-aligned. Valid while this value exists.
    @unsafe var unsafeBaseAddress: UnsafeMutableRawPointer { get }
}

extension VolatileMemory where Self: ~Copyable & ~Escapable {
    @inlinable @inline(__always)
    func address(of offset: Int, width: Int) -> UnsafeMutableRawPointer {
        // A negative offset is large as an unsigned number, so one comparison checks both ends.
        precondition(
            UInt(bitPattern: offset) <= UInt(bitPattern: byteCount &- width) && byteCount >= width,
            "access outside of the memory")
        precondition(offset & (width &- 1) == 0, "the offset is no multiple of the access width")
        return unsafe unsafeBaseAddress + offset
    }

    // MARK: Views

    /// A view of the memory, to pass to functions.
    ///
    /// If the owner is stored in a class or an actor, use ``withMemory(_:)`` instead: see <doc:KeepingOwners>.
    @inlinable
    public var memory: DeviceMemory {
        @_lifetime(borrow self) @inline(__always)
        get {
            let view = unsafe DeviceMemory(base: unsafeBaseAddress, byteCount: byteCount)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// Gives access to a view of the memory for the duration of a closure, wherever its owner is stored.
    ///
    /// - Throws: The closure's error.
    @inlinable @inline(__always)
    public func withMemory<Result: ~Copyable, Failure: Error>(
        _ body: (DeviceMemory) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(memory)
    }

    /// Gives access to a view of a part for the duration of a closure, wherever the owner of the memory is stored.
    ///
    /// ```swift
    /// ring.withMemory(slot * 16..<slot * 16 + 16) { descriptor in
    ///     descriptor.write64(address, at: 0)
    ///     descriptor.write32(length, at: 8)
    /// }
    /// ```
    /// - Parameters:
    ///   - range: As for ``extracting(_:)``.
    ///   - body: Receives the view, which cannot escape.
    /// - Throws: The closure's error.
    @inlinable @inline(__always)
    public func withMemory<Result: ~Copyable, Failure: Error>(
        _ range: Range<Int>, _ body: (DeviceMemory) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(extracting(range))
    }

    /// Returns a view of a part, such as one descriptor of a ring.
    ///
    /// The part is checked once; accesses to it at offsets that the compiler knows need no further check.
    /// ```swift
    /// let descriptor = ring.extracting(slot * 16..<slot * 16 + 16)
    /// descriptor.write64(address, at: 0)
    /// descriptor.write32(length, at: 8)
    /// ```
    /// If the owner is stored in a class or an actor, use ``withMemory(_:_:)`` instead.
    /// - Parameter range: In bytes, inside of the memory, beginning at a multiple of 8; traps otherwise.
    @_lifetime(borrow self)
    @inlinable @inline(__always)
    public func extracting(_ range: Range<Int>) -> DeviceMemory {
        let view = unsafe DeviceMemory(base: unsafeBaseAddress, byteCount: byteCount)
        return unsafe _overrideLifetime(view.extracting(range), borrowing: self)
    }

    // MARK: Loads and stores

    /// Reads one byte.
    @inlinable @inline(__always)
    public func read8(at offset: Int) -> UInt8 { unsafe cmmio_load8(address(of: offset, width: 1)) }
    /// Reads 16 bits.
    @inlinable @inline(__always)
    public func read16(at offset: Int) -> UInt16 { unsafe cmmio_load16(address(of: offset, width: 2)) }
    /// Reads 32 bits.
    @inlinable @inline(__always)
    public func read32(at offset: Int) -> UInt32 { unsafe cmmio_load32(address(of: offset, width: 4)) }
    /// Reads 64 bits.
    @inlinable @inline(__always)
    public func read64(at offset: Int) -> UInt64 { unsafe cmmio_load64(address(of: offset, width: 8)) }

    /// Writes one byte.
    @inlinable @inline(__always)
    public func write8(_ value: UInt8, at offset: Int) { unsafe cmmio_store8(address(of: offset, width: 1), value) }
    /// Writes 16 bits.
    @inlinable @inline(__always)
    public func write16(_ value: UInt16, at offset: Int) { unsafe cmmio_store16(address(of: offset, width: 2), value) }
    /// Writes 32 bits.
    @inlinable @inline(__always)
    public func write32(_ value: UInt32, at offset: Int) { unsafe cmmio_store32(address(of: offset, width: 4), value) }
    /// Writes 64 bits.
    @inlinable @inline(__always)
    public func write64(_ value: UInt64, at offset: Int) { unsafe cmmio_store64(address(of: offset, width: 8), value) }

    // MARK: Ordered loads and stores

    /// Reads 16 bits with acquire ordering: a flag that announces data.
    @inlinable @inline(__always)
    public func readAcquiring16(at offset: Int) -> UInt16 {
        unsafe cmmio_load_acquire16(address(of: offset, width: 2))
    }
    /// Reads 32 bits with acquire ordering.
    @inlinable @inline(__always)
    public func readAcquiring32(at offset: Int) -> UInt32 {
        unsafe cmmio_load_acquire32(address(of: offset, width: 4))
    }
    /// Reads 64 bits with acquire ordering.
    @inlinable @inline(__always)
    public func readAcquiring64(at offset: Int) -> UInt64 {
        unsafe cmmio_load_acquire64(address(of: offset, width: 8))
    }
    /// Writes 16 bits with release ordering: a flag that announces data.
    @inlinable @inline(__always)
    public func writeReleasing16(_ value: UInt16, at offset: Int) {
        unsafe cmmio_store_release16(address(of: offset, width: 2), value)
    }
    /// Writes 32 bits with release ordering.
    @inlinable @inline(__always)
    public func writeReleasing32(_ value: UInt32, at offset: Int) {
        unsafe cmmio_store_release32(address(of: offset, width: 4), value)
    }
    /// Writes 64 bits with release ordering.
    @inlinable @inline(__always)
    public func writeReleasing64(_ value: UInt64, at offset: Int) {
        unsafe cmmio_store_release64(address(of: offset, width: 8), value)
    }

    // MARK: Copies

    /// Copies bytes into the memory, in aligned accesses of 1 and 8 bytes: for plain memory, not for registers.
    @inlinable
    public func copy(_ source: Span<UInt8>, to offset: Int = 0) {
        checkRange(offset, source.count)
        unsafe source.withUnsafeBytes { source in
            var position = 0
            while position < source.count {
                if (offset + position) & 7 == 0, source.count - position >= 8 {
                    let word = unsafe source.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                    unsafe cmmio_store64(unsafeBaseAddress + offset + position, word)
                    position += 8
                } else {
                    unsafe cmmio_store8(unsafeBaseAddress + offset + position, source[position])
                    position += 1
                }
            }
        }
        // Orders the bytes before later stores, such as a doorbell.
        cmmio_write_barrier()
    }

    /// Copies bytes into the memory, in aligned accesses of 1 and 8 bytes: for plain memory, not for registers.
    @inlinable
    public func copy(_ source: [UInt8], to offset: Int = 0) { copy(source.span, to: offset) }

    /// Copies bytes out of the memory, in aligned accesses of 1 and 8 bytes: for plain memory, not for registers.
    @inlinable
    public func bytes(at offset: Int = 0, count: Int) -> [UInt8] {
        checkRange(offset, count)
        // Orders the bytes after earlier loads, such as a flag that announced them.
        cmmio_read_barrier()
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { destination, initializedCount in
            var position = 0
            while position < count {
                let address = unsafe unsafeBaseAddress + offset + position
                if (offset + position) & 7 == 0, count - position >= 8 {
                    unsafe UnsafeMutableRawPointer(destination.baseAddress! + position).storeBytes(
                        of: cmmio_load64(address), as: UInt64.self)
                    position += 8
                } else {
                    unsafe destination.initializeElement(at: position, to: cmmio_load8(address))
                    position += 1
                }
            }
            initializedCount = count
        }
    }

    @usableFromInline
    func checkRange(_ offset: Int, _ count: Int) {
        precondition(
            offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset,
            "range outside of the memory")
    }
}
