/// The kernel's name of a device: the address of a PCI function, or the UUID of a mediated device.
public enum DeviceAddress: Sendable, Hashable {
    /// A PCI function.
    case pci(PCIAddress)
    /// A mediated device, which a kernel driver creates from a part of another device.
    case mediated(DeviceUUID)

    /// The PCI address; `nil` for a mediated device.
    public var pci: PCIAddress? {
        if case .pci(let address) = self { address } else { nil }
    }
}

extension DeviceAddress: LosslessStringConvertible {
    /// The kernel's name of the device: `0000:00:04.0`, `bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3`.
    public var description: String {
        switch self {
        case .pci(let address): address.description
        case .mediated(let uuid): uuid.description
        }
    }

    /// Parses a ``PCIAddress`` or a ``DeviceUUID``.
    public init?(_ description: String) {
        if let address = PCIAddress(description) {
            self = .pci(address)
        } else if let uuid = DeviceUUID(description) {
            self = .mediated(uuid)
        } else {
            return nil
        }
    }
}

extension DeviceAddress: ExpressibleByStringLiteral {
    public init(stringLiteral value: StaticString) {
        guard let address = DeviceAddress("\(value)") else {
            preconditionFailure("\"\(value)\" is neither a PCI address nor a UUID")
        }
        self = address
    }
}
