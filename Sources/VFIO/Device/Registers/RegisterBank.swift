public import CMMIO

/// The registers of a region, for drivers that keep access to them.
///
/// ```swift
/// let bank = try device.makeRegisterBank(of: .bar0)
/// bank.writeReleasing32(tail, at: 0x1000)   // one store behind one comparison, or a system call
/// try bank.check()                          // what the kernel refused meanwhile
/// ```
///
/// The bank keeps the device open. The banks of a region share one mapping of it. While memory decode of the device is
/// off, an access to the mapped part ends the process with `SIGBUS`, as with a ``MappedRegion``. If the device stops
/// answering, reads return all ones, or are `SIGBUS` too: ``Device/isPresent()`` tells.
@safe
public struct RegisterBank: ~Copyable, RegisterAccess, Sendable {
    /// The region.
    public let index: RegionIndex
    /// The size of the region in bytes.
    public var byteCount: Int { window.byteCount }

    @usableFromInline let window: RegisterWindow
    @usableFromInline let fallback: RegisterFallback
    // The same object without reference counting, for the view.
    @usableFromInline let unmanagedFallback: Unmanaged<RegisterFallback>
    // Keeps the device open. The mapping belongs to the device, which unmaps it before closing. If the bank also held
    // the mapping, the optimiser could release the lease first, and the device would be closed while mapped.
    private let lease: DeviceLease

    init(_ region: RegionInfo, mapping: RegisterMapping?, of core: DeviceCore) {
        index = region.index
        window = RegisterWindow(mapping, byteCount: Int(clamping: region.byteCount))
        fallback = RegisterFallback(region, of: core)
        unsafe unmanagedFallback = Unmanaged.passUnretained(fallback)
        lease = DeviceLease(core, for: .registers(region.index))
    }

    /// A view of the registers, to pass to functions.
    ///
    /// If the bank is stored in a class or an actor, use ``withRegisters(_:)`` instead: see <doc:KeepingOwners>.
    public var registers: Registers {
        @_lifetime(borrow self)
        @inlinable @inline(__always)
        borrowing get {
            let view = unsafe Registers(window: window, fallback: unmanagedFallback)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// Gives access to a view of the registers for the duration of a closure, wherever the bank is stored.
    ///
    /// Accesses that the kernel refuses are thrown by ``check()``, as with any access through the bank.
    ///
    /// - Throws: The closure's error.
    @inlinable @inline(__always)
    public func withRegisters<Result: ~Copyable, Failure: Error>(
        _ body: (Registers) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(registers)
    }

    @inlinable @inline(__always)
    @unsafe public func unsafeMappedAddress(of offset: Int, width: Int) -> UnsafeMutableRawPointer? {
        unsafe window.address(of: offset, width: width)
    }

    @inlinable @inline(__always)
    public func readUnmapped(at offset: Int, width: Int) -> UInt64 {
        cmmio_cold_path()
        return fallback.read(offset, width: width)
    }

    @inlinable @inline(__always)
    public func writeUnmapped(_ value: UInt64, at offset: Int, width: Int) {
        cmmio_cold_path()
        fallback.write(value, offset, width: width)
    }

    /// Reads a register that somebody else has chosen: see ``Registers/read(at:width:)``.
    public func read(at offset: UInt64, width: Int) throws(VFIOError) -> UInt64 {
        try fallback.checkedRead(at: offset, width: width)
    }

    /// Writes a register that somebody else has chosen: see ``Registers/write(_:at:width:)``.
    public func write(_ value: UInt64, at offset: UInt64, width: Int) throws(VFIOError) {
        try fallback.checkedWrite(value, at: offset, width: width)
    }

    /// Throws the first access that the kernel refused since the last call.
    ///
    /// Accesses to the mapped part do not fail in this way, so they do not need a check each.
    public func check() throws(VFIOError) {
        if let failure = fallback.takeFailure() { throw failure }
    }

    /// Releases the registers. They stay mapped until the device is closed.
    ///
    /// - Throws: As ``check()``.
    public consuming func close() throws(VFIOError) {
        try check()
    }
}

extension Device {
    /// Returns the registers of a region for use beyond a call of `withRegisters`.
    ///
    /// - Throws: `.notFound` without such a region, `.memoryDecodeOff` while memory decode is off, `.deviceGone`.
    public func makeRegisterBank(of index: RegionIndex) throws(VFIOError) -> RegisterBank {
        let (region, mapping) = try core.registers(of: index)
        return RegisterBank(region, mapping: mapping, of: core)
    }
}
