public import CMMIO

/// A view of a region's registers, mapped or not, to pass to functions.
///
/// The view cannot outlive the call of ``Device``'s `withRegisters` or the ``RegisterBank`` that it comes from. The
/// first access that the kernel refused is thrown by `withRegisters` at its end, or by ``RegisterBank/check()``.
@safe
public struct Registers: ~Escapable, Copyable, RegisterAccess {
    @usableFromInline let window: RegisterWindow
    // Unmanaged, so that making and copying the view costs nothing; the view's scope keeps the object alive.
    @usableFromInline let fallback: Unmanaged<RegisterFallback>

    /// - Parameter fallback: Must outlive the view; the caller ensures it.
    @_lifetime(immortal)
    @inlinable @inline(__always)
    @unsafe init(window: RegisterWindow, fallback: Unmanaged<RegisterFallback>) {
        self.window = window
        unsafe self.fallback = fallback
    }

    /// The size of the region in bytes.
    public var byteCount: Int { window.byteCount }

    @inlinable @inline(__always)
    @unsafe public func unsafeMappedAddress(of offset: Int, width: Int) -> UnsafeMutableRawPointer? {
        unsafe window.address(of: offset, width: width)
    }

    @inlinable @inline(__always)
    public func readUnmapped(at offset: Int, width: Int) -> UInt64 {
        cmmio_cold_path()
        return unsafe fallback._withUnsafeGuaranteedRef { $0.read(offset, width: width) }
    }

    @inlinable @inline(__always)
    public func writeUnmapped(_ value: UInt64, at offset: Int, width: Int) {
        cmmio_cold_path()
        unsafe fallback._withUnsafeGuaranteedRef { $0.write(value, offset, width: width) }
    }

    // MARK: Checked accesses

    /// Reads a register that somebody else has chosen, such as the guest of a virtual machine: no offset and no width
    /// traps, and memory decode that is off is an error.
    ///
    /// Each access is a system call, also where the region is mapped: the kernel checks that the device's memory
    /// responds, even if another thread switches it off meanwhile.
    ///
    /// - Parameters:
    ///   - offset: In bytes from the start of the region, a multiple of the width.
    ///   - width: 1, 2, 4 or 8 bytes.
    /// - Throws: `.invalidArgument` for the width, `.misaligned`, `.outOfRange`, and the kernel's refusal: `EIO` while
    ///   memory decode is off.
    public func read(at offset: UInt64, width: Int) throws(VFIOError) -> UInt64 {
        try unsafe fallback.takeUnretainedValue().checkedRead(at: offset, width: width)
    }

    /// Writes a register that somebody else has chosen, such as the guest of a virtual machine.
    ///
    /// - Parameters:
    ///   - value: The lowest `width` bytes of it are written.
    ///   - offset: As for ``read(at:width:)``.
    ///   - width: 1, 2, 4 or 8 bytes.
    /// - Throws: As ``read(at:width:)``.
    public func write(_ value: UInt64, at offset: UInt64, width: Int) throws(VFIOError) {
        try unsafe fallback.takeUnretainedValue().checkedWrite(value, at: offset, width: width)
    }
}
