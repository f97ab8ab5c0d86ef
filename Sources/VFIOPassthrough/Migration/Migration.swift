internal import SystemPackage
public import VFIO

/// Migrates the state of a device to another device of the same type.
/// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
///
/// ```swift
/// let state = try old.migration().save()
/// try new.migration().restore(state)
/// ```
/// Both functions leave the device running. ``changeState(to:)`` makes single steps, as a virtual machine monitor
/// needs.
///
/// This value keeps the device open.
public struct Migration: Sendable {
    private let lease: DeviceLease
    private var core: DeviceCore { lease.core }
    private var subject: String { "\(core.address)" }
    /// The device's migration capabilities.
    public let capabilities: MigrationCapabilities

    init(_ core: DeviceCore) throws(VFIOError) {
        let words = "ask for the migration"
        let flags = try ABI.getMigration().perform(
            on: core, words, "\(core.address)", lacking: "the driver cannot migrate the device")
        capabilities = MigrationCapabilities(rawValue: flags)
        guard capabilities.contains(.stopAndCopy) else {
            throw VFIOError(
                .unexpectedAnswer, ABI.Call.getMigration.operation(words), "\(core.address)",
                hint: "the flags \(flags.hexadecimal) lack STOP_COPY, which every device that migrates has")
        }
        lease = DeviceLease(core, for: .migration)
    }

    /// Returns the migration state of the device. The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
    public func state() throws(VFIOError) -> MigrationState {
        let words = "ask for the migration state"
        let state = MigrationState(rawValue: try ABI.getMigrationState().perform(on: core, words, subject))
        guard state.isKnown else {
            throw VFIOError(
                .unexpectedAnswer, ABI.Call.migrationState.operation(words), subject,
                hint: "the kernel knows no \(state)")
        }
        return state
    }

    /// Sets the device's migration state; the kernel passes through intermediate states if needed.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
    ///
    /// - Returns: The stream that begins with this change: for STOP_COPY, RESUMING and the PRE_COPY states. `nil` for
    ///   other states, and for STOP_COPY after a PRE_COPY state, whose stream continues.
    /// - Throws: `.unsupported` for a state that the device lacks, `.invalidArgument` for ERROR and for a change that
    ///   is not permitted, `.kernel` if the change failed. ``state()`` then returns the actual state: possibly an
    ///   intermediate one, or ERROR, which only ``recover()`` ends.
    public func changeState(to state: MigrationState) throws(VFIOError) -> MigrationStream? {
        let operation = Self.change(to: state)
        guard state.isKnown, state != .error else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "no device can be told to go there")
        }
        guard capabilities.isSuperset(of: Self.needs(of: state)) else {
            throw VFIOError(
                .unsupported, operation, subject, hint: "the device lacks the optional states that this one belongs to")
        }
        let stream: FileDescriptor?
        do throws(Errno) {
            stream = try ABI.setMigrationState(state.rawValue).perform(on: core)
        } catch {
            let now = try? self.state()
            var hint = now.map { "the device is now in \($0)" }
            if now == .error { hint = "the device is in ERROR; recover() resets it" }
            if error == .invalidArgument, now == .resuming { hint = "the device does not take what it was given" }
            throw VFIOError(.kernel, operation, subject, errno: error, hint: hint)
        }
        guard let stream else { return nil }
        return MigrationStream(OwnedDescriptor(stream, of: core.kernel), of: subject)
    }

    private static func change(to state: MigrationState) -> String {
        ABI.Call.migrationState.operation("change the migration state to \(state)")
    }

    private static func needs(of state: MigrationState) -> MigrationCapabilities {
        switch state {
        case .runningP2P: .peerToPeer
        case .preCopy: .preCopy
        case .preCopyP2P: [.peerToPeer, .preCopy]
        default: []
        }
    }

    /// Refuses to start a copy that cannot succeed.
    ///
    /// - Returns: The current state: RUNNING or STOP.
    func check(_ final: MigrationState, for operation: String) throws(VFIOError) -> MigrationState {
        guard final == .running || final == .stop else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "it can end in RUNNING or in STOP, not in \(final)")
        }
        let now = try state()
        guard now == .running || now == .stop else {
            throw VFIOError(
                .busy, operation, subject,
                hint: now == .error ? "the device is in ERROR; recover() resets it" : "the device is in \(now) already")
        }
        return now
    }

    /// Returns the error if the kernel has started no stream.
    func missingStream(_ state: MigrationState) -> VFIOError {
        VFIOError(.unexpectedAnswer, Self.change(to: state), subject, hint: "the kernel gave no stream")
    }

    /// Returns the estimated length of the STOP_COPY stream, in bytes. Linux 6.2 and newer.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`.
    public func estimatedByteCount() throws(VFIOError) -> UInt64 {
        try ABI.getMigrationDataSize().perform(
            on: core, "ask for the size of the state", subject, lacking: "it needs Linux 6.2")
    }

    /// Makes the kernel report when the initial part of the stream restarts: ``PreCopyProgress/isReinitialized``.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`.
    ///
    /// - Throws: `.unsupported` on older kernels, and for a device without PRE_COPY.
    public func enablePrecopyInfoV2() throws(VFIOError) {
        try ABI.enablePreCopyFlags().perform(
            on: core, "ask for flags in the progress", subject,
            lacking: "the kernel lacks it, or the device has no PRE_COPY")
    }

    /// Ends ERROR, or a RESUMING that cannot be completed, by a reset of the device: its state is lost, and it runs.
    /// The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// - Throws: `.kernel` if the device cannot be reset, `.unexpectedAnswer` if it does not run afterwards.
    public func recover() throws(VFIOError) {
        let words = "reset the device to running"
        // Does not check that the device reports a reset: migration drivers end ERROR on this request, and some do not
        // report it.
        try core.reset(words)
        let state = try state()
        guard state == .running else {
            throw VFIOError(
                .unexpectedAnswer, ABI.Call.reset.operation(words), subject, hint: "after the reset it is in \(state)")
        }
    }
}

extension Device {
    /// Returns the migration interface of the device. The corresponding request is `VFIO_DEVICE_FEATURE_MIGRATION`.
    ///
    /// - Throws: `.unsupported` if the driver does not support migration.
    public func migration() throws(VFIOError) -> Migration { try Migration(core) }
}
