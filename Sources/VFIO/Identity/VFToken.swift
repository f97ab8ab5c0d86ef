internal import SystemPackage

/// The secret that a physical function and its virtual functions share, so that only its users can open them: a UUID.
///
/// If the physical function is bound to vfio-pci, the token is required to open a virtual function, and to open the
/// physical one while a virtual one is open. The initial token is random. It is set by opening the physical function
/// with a token while none of its virtual functions is open, and by ``Device/setVFToken(_:)``; it stays after the
/// physical function is closed.
/// ```swift
/// let physical = try Device(at: "0000:02:00.0", in: space, token: token)
/// // As root: Y to /sys/module/vfio_pci/parameters/enable_sriov, 1 to sriov_numvfs of the device.
/// let virtual = try Device(at: "0000:02:00.1", in: space, token: token)
/// ```
/// Opening and closing the physical function resets it, which affects its virtual functions: create them afterwards.
public struct VFToken: Sendable, Hashable {
    private let uuid: DeviceUUID

    /// The 16 bytes, in the order of the text.
    public var bytes: [UInt8] { uuid.bytes }

    /// - Parameter bytes: 16 bytes; `nil` for any other number.
    public init?(bytes: [UInt8]) {
        guard let uuid = DeviceUUID(bytes: bytes) else { return nil }
        self.uuid = uuid
    }
}

extension VFToken: LosslessStringConvertible {
    /// Parses a UUID such as `2ab74924-c335-45f4-9b16-8569e5b08258`.
    public init?(_ description: String) {
        guard let uuid = DeviceUUID(description) else { return nil }
        self.uuid = uuid
    }

    public var description: String { uuid.description }
}

extension VFToken {
    /// The meaning of errors of opening a device, with a token or without.
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
