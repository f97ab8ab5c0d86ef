public import CMMIO

/// Fences between the CPU's accesses and a device's.
///
/// On x86 the first two only hold back the compiler; on arm64 they are `dmb` instructions that reach devices too.
public enum DeviceBarrier {
    /// Loads before this are done before loads and stores after it: between the flag that announces data, and the data.
    @inlinable @inline(__always)
    public static func read() { cmmio_read_barrier() }

    /// Stores before this are done before stores after it: between a descriptor and the doorbell.
    @inlinable @inline(__always)
    public static func write() { cmmio_write_barrier() }

    /// All accesses before this are done before all after it: between writing an index and reading whether the device
    /// wants to be told.
    @inlinable @inline(__always)
    public static func full() { cmmio_full_barrier() }
}
