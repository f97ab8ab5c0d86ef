public import CMMIO

/// A view of a region's registers, mapped or not.
///
/// Where the region is mapped, an access is one load or store of exactly its width, behind one comparison; elsewhere it is
/// a system call. So a driver need not care whether its device, or a mock of it, lets its BAR be mapped. A driver that
/// does care uses ``Device/map(_:_:)`` and ``DeviceMemory``.
///
/// An access outside of the region, or at an offset that is no multiple of its width, stops the program. An access that
/// the kernel refuses reads as all ones, and `withRegisters` of ``Device`` throws the first such refusal at its end.
@safe
public struct Registers: ~Escapable {
    /// Where the region's first byte would be, so that adding an offset inside of the mapped part gives its address.
    @usableFromInline let origin: UnsafeMutableRawPointer
    @usableFromInline let mappedStart: UInt
    @usableFromInline let mappedCount: UInt
    // Unowned, so that copying the view costs nothing; the view's scope keeps the object alive.
    @usableFromInline unowned(unsafe) let fallback: RegisterFallback
    /// The size of the region in bytes.
    public let byteCount: Int

    @_lifetime(borrow fallback)
    init(mapping: RegisterMapping?, fallback: borrowing RegisterFallback, byteCount: Int) {
        if let mapping {
            unsafe origin = mapping.base - Int(mapping.area.lowerBound)
            mappedStart = UInt(mapping.area.lowerBound)
            mappedCount = UInt(mapping.area.upperBound - mapping.area.lowerBound)
        } else {
            // Never used: no offset is below a count of 0.
            unsafe origin = UnsafeMutableRawPointer(bitPattern: 1)!
            mappedStart = 0
            mappedCount = 0
        }
        unsafe self.fallback = copy fallback
        self.byteCount = byteCount
    }

    /// The address of a register in the mapped part; `nil` elsewhere.
    ///
    /// The mapped part begins and ends at multiples of every width, so an aligned offset inside of it has all of the
    /// register inside.
    @inlinable @inline(__always)
    func mapped(_ offset: Int, width: Int) -> UnsafeMutableRawPointer? {
        precondition(offset & (width &- 1) == 0, "the offset is no multiple of the access width")
        guard UInt(bitPattern: offset) &- mappedStart < mappedCount else { return nil }
        return unsafe origin + offset
    }

    /// Reads one byte.
    @inlinable @inline(__always)
    public func read8(at offset: Int) -> UInt8 {
        if let address = unsafe mapped(offset, width: 1) { return unsafe cmmio_load8(address) }
        return unsafe fallback.read8(offset)
    }
    /// Reads 16 bits.
    @inlinable @inline(__always)
    public func read16(at offset: Int) -> UInt16 {
        if let address = unsafe mapped(offset, width: 2) { return unsafe cmmio_load16(address) }
        return unsafe fallback.read16(offset)
    }
    /// Reads 32 bits.
    @inlinable @inline(__always)
    public func read32(at offset: Int) -> UInt32 {
        if let address = unsafe mapped(offset, width: 4) { return unsafe cmmio_load32(address) }
        return unsafe fallback.read32(offset)
    }
    /// Reads 64 bits.
    @inlinable @inline(__always)
    public func read64(at offset: Int) -> UInt64 {
        if let address = unsafe mapped(offset, width: 8) { return unsafe cmmio_load64(address) }
        return unsafe fallback.read64(offset)
    }

    /// Writes one byte.
    @inlinable @inline(__always)
    public func write8(_ value: UInt8, at offset: Int) {
        if let address = unsafe mapped(offset, width: 1) { return unsafe cmmio_store8(address, value) }
        unsafe fallback.write8(value, offset)
    }
    /// Writes 16 bits.
    @inlinable @inline(__always)
    public func write16(_ value: UInt16, at offset: Int) {
        if let address = unsafe mapped(offset, width: 2) { return unsafe cmmio_store16(address, value) }
        unsafe fallback.write16(value, offset)
    }
    /// Writes 32 bits.
    @inlinable @inline(__always)
    public func write32(_ value: UInt32, at offset: Int) {
        if let address = unsafe mapped(offset, width: 4) { return unsafe cmmio_store32(address, value) }
        unsafe fallback.write32(value, offset)
    }
    /// Writes 64 bits.
    @inlinable @inline(__always)
    public func write64(_ value: UInt64, at offset: Int) {
        if let address = unsafe mapped(offset, width: 8) { return unsafe cmmio_store64(address, value) }
        unsafe fallback.write64(value, offset)
    }

    // MARK: Doorbells

    /// Writes 32 bits after everything that went before, such as a descriptor in a DMA buffer.
    @inlinable @inline(__always)
    public func writeReleasing32(_ value: UInt32, at offset: Int) {
        cmmio_write_barrier()
        write32(value, at: offset)
    }
    /// Writes 64 bits after everything that went before.
    @inlinable @inline(__always)
    public func writeReleasing64(_ value: UInt64, at offset: Int) {
        cmmio_write_barrier()
        write64(value, at: offset)
    }
    /// Reads 32 bits before anything that follows, such as what a device has written into a DMA buffer.
    @inlinable @inline(__always)
    public func readAcquiring32(at offset: Int) -> UInt32 {
        let value = read32(at: offset)
        cmmio_read_barrier()
        return value
    }
    /// Reads 64 bits before anything that follows.
    @inlinable @inline(__always)
    public func readAcquiring64(at offset: Int) -> UInt64 {
        let value = read64(at: offset)
        cmmio_read_barrier()
        return value
    }
}
