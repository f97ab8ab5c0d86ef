internal import CVFIO

/// Where a device is on its way to another (`enum vfio_device_mig_state`).
///
/// The kernel goes by way of other states where it has to, so any state can be asked for, but ``error``.
public struct MigrationState: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A change failed, and the device can only be reset.
    public static var error: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_ERROR) }
    /// The device does nothing, and its state does not change.
    public static var stop: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_STOP) }
    /// The device works: where each begins, and where a reset leads.
    public static var running: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RUNNING) }
    /// The device does nothing, and its state is read from a stream.
    public static var stopCopy: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_STOP_COPY) }
    /// The device does nothing, and takes another's state from a stream.
    public static var resuming: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RESUMING) }
    /// The device works, except for DMA to other devices.
    public static var runningP2P: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_RUNNING_P2P) }
    /// The device works, and part of its state is read from a stream.
    public static var preCopy: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_PRE_COPY) }
    /// As ``preCopy``, except for DMA to other devices.
    public static var preCopyP2P: MigrationState { .init(rawValue: CVFIO_DEVICE_STATE_PRE_COPY_P2P) }

    /// Whether the kernel's header has such a state.
    var isKnown: Bool { rawValue <= CVFIO_DEVICE_STATE_PRE_COPY_P2P }
}

extension MigrationState: CustomStringConvertible {
    /// The name in the kernel's header, such as `STOP_COPY`.
    public var description: String {
        let names = ["ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P"]
        return Int(rawValue) < names.count ? names[Int(rawValue)] : "state \(rawValue)"
    }
}
