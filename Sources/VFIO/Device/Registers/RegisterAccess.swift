public import CMMIO

/// The registers of a region, mapped or not: a ``RegisterBank``, or a view of one.
///
/// If the register is mapped, an access is one comparison and one load or store of exactly its width; otherwise it is a
/// system call. A driver works the same whether its device, or a mock of it, permits mapping of its BAR. A driver that
/// requires a mapping uses ``Device/map(_:_:)`` and ``DeviceMemory``.
///
/// An access outside of the region, or at an offset that is not a multiple of its width, traps. A read that the kernel
/// refuses returns all ones, as a failed PCI read does.
public protocol RegisterAccess: ~Copyable, ~Escapable {
    /// The size of the region in bytes.
    var byteCount: Int { get }

    /// Returns the address of a register in the mapped part; `nil` elsewhere. Valid while this value exists.
    @unsafe func unsafeMappedAddress(of offset: Int, width: Int) -> UnsafeMutableRawPointer?

    /// Reads a register that is not mapped. `width` is 1, 2, 4 or 8 bytes.
    func readUnmapped(at offset: Int, width: Int) -> UInt64

    /// Writes a register that is not mapped. `width` is 1, 2, 4 or 8 bytes.
    func writeUnmapped(_ value: UInt64, at offset: Int, width: Int)
}

extension RegisterAccess where Self: ~Copyable & ~Escapable {
    /// Reads one byte.
    @inlinable @inline(__always)
    public func read8(at offset: Int) -> UInt8 {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 1) { return unsafe cmmio_load8(address) }
        return UInt8(truncatingIfNeeded: readUnmapped(at: offset, width: 1))
    }
    /// Reads 16 bits.
    @inlinable @inline(__always)
    public func read16(at offset: Int) -> UInt16 {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 2) { return unsafe cmmio_load16(address) }
        return UInt16(truncatingIfNeeded: readUnmapped(at: offset, width: 2))
    }
    /// Reads 32 bits.
    @inlinable @inline(__always)
    public func read32(at offset: Int) -> UInt32 {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 4) { return unsafe cmmio_load32(address) }
        return UInt32(truncatingIfNeeded: readUnmapped(at: offset, width: 4))
    }
    /// Reads 64 bits.
    @inlinable @inline(__always)
    public func read64(at offset: Int) -> UInt64 {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 8) { return unsafe cmmio_load64(address) }
        return readUnmapped(at: offset, width: 8)
    }

    /// Writes one byte.
    @inlinable @inline(__always)
    public func write8(_ value: UInt8, at offset: Int) {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 1) { return unsafe cmmio_store8(address, value) }
        writeUnmapped(UInt64(value), at: offset, width: 1)
    }
    /// Writes 16 bits.
    @inlinable @inline(__always)
    public func write16(_ value: UInt16, at offset: Int) {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 2) {
            return unsafe cmmio_store16(address, value)
        }
        writeUnmapped(UInt64(value), at: offset, width: 2)
    }
    /// Writes 32 bits.
    @inlinable @inline(__always)
    public func write32(_ value: UInt32, at offset: Int) {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 4) {
            return unsafe cmmio_store32(address, value)
        }
        writeUnmapped(UInt64(value), at: offset, width: 4)
    }
    /// Writes 64 bits.
    @inlinable @inline(__always)
    public func write64(_ value: UInt64, at offset: Int) {
        if let address = unsafe unsafeMappedAddress(of: offset, width: 8) {
            return unsafe cmmio_store64(address, value)
        }
        writeUnmapped(value, at: offset, width: 8)
    }

    // MARK: Doorbells

    /// Writes 16 bits with release ordering: after all earlier writes, such as a descriptor in a DMA buffer.
    @inlinable @inline(__always)
    public func writeReleasing16(_ value: UInt16, at offset: Int) {
        cmmio_write_barrier()
        write16(value, at: offset)
    }
    /// Writes 32 bits with release ordering.
    @inlinable @inline(__always)
    public func writeReleasing32(_ value: UInt32, at offset: Int) {
        cmmio_write_barrier()
        write32(value, at: offset)
    }
    /// Writes 64 bits with release ordering.
    @inlinable @inline(__always)
    public func writeReleasing64(_ value: UInt64, at offset: Int) {
        cmmio_write_barrier()
        write64(value, at: offset)
    }
    /// Reads 16 bits with acquire ordering: before all later reads, such as of device-written data in a DMA buffer.
    @inlinable @inline(__always)
    public func readAcquiring16(at offset: Int) -> UInt16 {
        let value = read16(at: offset)
        cmmio_read_barrier()
        return value
    }
    /// Reads 32 bits with acquire ordering.
    @inlinable @inline(__always)
    public func readAcquiring32(at offset: Int) -> UInt32 {
        let value = read32(at: offset)
        cmmio_read_barrier()
        return value
    }
    /// Reads 64 bits with acquire ordering.
    @inlinable @inline(__always)
    public func readAcquiring64(at offset: Int) -> UInt64 {
        let value = read64(at: offset)
        cmmio_read_barrier()
        return value
    }
}
