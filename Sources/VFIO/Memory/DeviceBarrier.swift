public import CMMIO

/// Memory barriers between accesses of the CPU and of a device.
///
/// On x86 the first two are only compiler barriers; on arm64 they are `dmb` instructions that include devices.
public enum DeviceBarrier {
    /// Orders loads before this before loads and stores after it: between the flag that announces data, and the data.
    @inlinable @inline(__always)
    public static func read() { cmmio_read_barrier() }

    /// Orders stores before this before stores after it: between a descriptor and the doorbell.
    @inlinable @inline(__always)
    public static func write() { cmmio_write_barrier() }

    /// Orders all accesses before this before all after it: between writing an index and reading whether the device
    /// wants a notification.
    @inlinable @inline(__always)
    public static func full() { cmmio_full_barrier() }
}
