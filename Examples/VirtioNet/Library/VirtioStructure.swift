public import VFIO

/// The location of one of the device's structures, from a vendor-specific capability of its config space (virtio 1.2,
/// 4.1.4).
public struct VirtioStructure: Sendable, Hashable {
    /// The type of a structure: the specification's `cfg_type`.
    public struct Kind: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Status, features and queues.
        public static let common = Kind(rawValue: 1)
        /// The doorbells.
        public static let notify = Kind(rawValue: 2)
        /// The interrupt status, for INTx.
        public static let isr = Kind(rawValue: 3)
        /// The configuration of network devices.
        public static let device = Kind(rawValue: 4)
        /// Access to the other structures through config space.
        public static let configAccess = Kind(rawValue: 5)
    }

    public let kind: Kind
    /// The number of its BAR.
    public let bar: UInt8
    /// The offset in the BAR in bytes.
    public let offset: UInt32
    /// Its length in bytes.
    public let byteCount: UInt32
    /// The distance between doorbells in bytes; 0 when all queues share one, and for structures of other types.
    public let doorbellStride: UInt32

    /// Returns `nil` for a capability that is too short.
    init?(_ capability: PCIVendorCapability) {
        let bytes = capability.bytes
        guard bytes.count >= 16 else { return nil }
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32($1 * 8) }
        }
        kind = Kind(rawValue: bytes[3])
        bar = bytes[4]
        offset = word(8)
        byteCount = word(12)
        if kind == .notify {
            guard bytes.count >= 20 else { return nil }
            doorbellStride = word(16)
        } else {
            doorbellStride = 0
        }
    }

    /// Returns the structures that a device lists in its config space.
    public static func all(of device: borrowing Device) throws(VirtioNetError) -> [VirtioStructure] {
        let config = device.config
        return try rethrowing { () throws(VFIOError) in
            try config.vendorCapabilities().compactMap(VirtioStructure.init)
        }
    }

    /// Whether the structure is within its BAR, aligned for its accesses, and at least `byteCount` bytes long.
    func fits(atLeast byteCount: UInt32, in region: RegionInfo) -> Bool {
        // Doorbells have 16 bits (virtio 1.2, 4.1.4.4.1).
        self.byteCount >= byteCount && offset & (kind == .notify ? 1 : 3) == 0
            && UInt64(offset) + UInt64(self.byteCount) <= region.byteCount
    }
}

extension VirtioStructure.Kind: CustomStringConvertible {
    public var description: String {
        switch self {
        case .common: "common configuration"
        case .notify: "notification"
        case .isr: "interrupt status"
        case .device: "device configuration"
        case .configAccess: "configuration access"
        default: "unknown (\(rawValue))"
        }
    }
}

extension VirtioStructure: CustomStringConvertible {
    public var description: String {
        "\(kind) structure, \(byteCount) bytes at 0x\(String(offset, radix: 16)) of BAR \(bar)"
    }
}
