/// About how much is left to read from a stream while the device runs (`struct vfio_precopy_info`).
public struct PreCopyProgress: Sendable, Hashable {
    /// Of what was there at the start, in bytes. Stopping the device before this is 0 makes its pause longer.
    public let initialByteCount: UInt64
    /// Of what has changed since, in bytes. It may grow again.
    public let dirtyByteCount: UInt64
    /// Whether ``initialByteCount`` counts anew, since the device has been set up afresh. Only told after
    /// ``Migration/enablePrecopyInfoV2()``.
    public let isReinitialized: Bool
}
