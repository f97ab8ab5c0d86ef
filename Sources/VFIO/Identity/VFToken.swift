internal import SystemPackage

/// The token that a physical function and its virtual functions share, so that only who knows it can open them: a UUID.
///
/// Where vfio-pci has the physical function, it asks whoever opens a virtual one for the token, and whoever opens the
/// physical one while a virtual one is open. At first nobody knows it. Who opens the physical function with a token while
/// none of the virtual ones is open sets it, and so does ``Device/setVFToken(_:)``; it stays when that is closed.
/// ```swift
/// let physical = try Device(at: "0000:02:00.0", in: space, token: token)
/// // As root: Y to /sys/module/vfio_pci/parameters/enable_sriov, 1 to sriov_numvfs of the device.
/// let virtual = try Device(at: "0000:02:00.1", in: space, token: token)
/// ```
/// Opening and closing the physical function resets it, which its virtual functions feel: make them afterwards.
public struct VFToken: Sendable, Hashable {
    private let uuid: DeviceUUID

    /// The 16 bytes, in the order of the text.
    public var bytes: [UInt8] { uuid.bytes }

    /// - Parameter bytes: 16 of them; `nil` for any other number.
    public init?(bytes: [UInt8]) {
        guard let uuid = DeviceUUID(bytes: bytes) else { return nil }
        self.uuid = uuid
    }
}

extension VFToken: LosslessStringConvertible {
    /// Reads `2ab74924-c335-45f4-9b16-8569e5b08258`.
    public init?(_ description: String) {
        guard let uuid = DeviceUUID(description) else { return nil }
        self.uuid = uuid
    }

    public var description: String { uuid.description }
}

extension VFToken {
    /// What refusals to open a device mean, with a token or without.
    static func refusals(given token: VFToken?) -> [Errno: Refusal] {
        var refusals: [Errno: Refusal] = [
            .permissionDenied: (
                .permissionDenied,
                "it takes the token that the users of the physical function and of its virtual ones share, and "
                    + (token == nil ? "none was given" : "this is not it")
            )
        ]
        if token != nil {
            refusals[.invalidArgument] = (
                .invalidArgument,
                "the device takes no token: neither it nor its physical function is one with VFs of vfio-pci"
            )
        }
        return refusals
    }
}
