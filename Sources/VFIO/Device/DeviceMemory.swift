/// A view of memory that a device touches too, for passing on to what works with it.
///
/// The view cannot outlive the mapped region or the buffer that it looks at: the compiler sees to it.
@safe
public struct DeviceMemory: ~Escapable, Copyable, VolatileMemory {
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    public let byteCount: Int

    @_lifetime(borrow base)
    init(base: borrowing UnsafeMutableRawPointer, byteCount: Int) {
        unsafe self.unsafeBaseAddress = unsafe copy base
        self.byteCount = byteCount
    }
}
