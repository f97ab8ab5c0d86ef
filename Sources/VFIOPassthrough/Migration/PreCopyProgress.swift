/// The estimated remaining length of a stream while the device runs (`struct vfio_precopy_info`).
public struct PreCopyProgress: Sendable, Hashable {
    /// The remaining initial data, in bytes. Stopping the device before this is 0 makes its pause longer.
    public let initialByteCount: UInt64
    /// The data that has changed since, in bytes. It may grow again.
    public let dirtyByteCount: UInt64
    /// Whether ``initialByteCount`` has restarted, since the device was reconfigured. Only reported after
    /// ``Migration/enablePrecopyInfoV2()``.
    public let isReinitialized: Bool
}
