internal import CVFIO

/// A migration state of a device (`enum vfio_device_mig_state`).
///
/// The kernel passes through intermediate states if needed, so any state can be requested except ``error``.
public struct MigrationState: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A change failed, and the device can only be reset.
    public static var error: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_ERROR) }
    /// The device is stopped, and its state does not change.
    public static var stop: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_STOP) }
    /// The device runs: the initial state, and the state after a reset.
    public static var running: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RUNNING) }
    /// The device is stopped, and its state is read from a stream.
    public static var stopCopy: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_STOP_COPY) }
    /// The device is stopped, and loads another device's state from a stream.
    public static var resuming: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RESUMING) }
    /// The device runs, except for DMA to other devices.
    public static var runningP2P: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RUNNING_P2P) }
    /// The device runs, and part of its state is read from a stream.
    public static var preCopy: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_PRE_COPY) }
    /// As ``preCopy``, except for DMA to other devices.
    public static var preCopyP2P: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_PRE_COPY_P2P) }

    /// Whether the state is defined in the kernel's header.
    var isKnown: Bool { rawValue <= CVFIO_DEVICE_STATE_PRE_COPY_P2P }
}

extension MigrationState: CustomStringConvertible {
    /// The name in the kernel's header, such as `STOP_COPY`.
    public var description: String {
        let names = ["ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P"]
        return Int(rawValue) < names.count ? names[Int(rawValue)] : "state \(rawValue)"
    }
}
