/// The token that a physical function and its virtual functions share, so that only who knows it can open them: a UUID.
///
/// vfio-pci asks for it when a physical function is driven by user space while its virtual functions are in use.
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
