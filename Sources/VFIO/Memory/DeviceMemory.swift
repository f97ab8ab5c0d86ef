/// A view of memory that a device also accesses, to pass to functions.
///
/// The view cannot outlive the mapped region or the buffer that it comes from: the compiler checks this.
@safe
public struct DeviceMemory: ~Escapable, Copyable, VolatileMemory {
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    public let byteCount: Int

    @_lifetime(borrow base)
    @inlinable @inline(__always)
    package init(base: borrowing UnsafeMutableRawPointer, byteCount: Int) {
        unsafe self.unsafeBaseAddress = unsafe copy base
        self.byteCount = byteCount
    }

    /// Returns a view of a part, with the same lifetime dependency as this view.
    ///
    /// - Parameter range: In bytes, inside of the memory, beginning at a multiple of 8; traps otherwise.
    @_lifetime(copy self)
    @inlinable @inline(__always)
    public func extracting(_ range: Range<Int>) -> DeviceMemory {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount && range.lowerBound & 7 == 0,
            "no part of the memory, or not at a multiple of 8")
        let part = unsafe DeviceMemory(base: unsafeBaseAddress + range.lowerBound, byteCount: range.count)
        return unsafe _overrideLifetime(part, copying: self)
    }
}
