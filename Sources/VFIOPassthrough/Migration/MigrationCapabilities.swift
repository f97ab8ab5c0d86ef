internal import CVFIO

/// The migration capabilities of a device. The corresponding request is `VFIO_DEVICE_FEATURE_MIGRATION`.
public struct MigrationCapabilities: OptionSet, Sendable, Hashable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The minimum: the device stops, then its state is copied.
    public static var stopAndCopy: MigrationCapabilities { .init(rawValue: CVFIO_MIGRATION_STOP_COPY) }
    /// The states in which the device does no DMA to other devices, but accepts theirs: ``MigrationState/runningP2P``
    /// and, with ``preCopy``, ``MigrationState/preCopyP2P``.
    public static var peerToPeer: MigrationCapabilities { .init(rawValue: CVFIO_MIGRATION_P2P) }
    /// Part of the state can be copied while the device runs: ``MigrationState/preCopy``. Linux 6.2 and newer.
    public static var preCopy: MigrationCapabilities { .init(rawValue: CVFIO_MIGRATION_PRE_COPY) }
}
