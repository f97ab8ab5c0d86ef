/// One entry of a function's capability list, in the first 256 bytes of its config space.
public struct PCICapability: Sendable, Hashable {
    /// What it is.
    public let id: ID
    /// Where it begins in config space, in bytes.
    public let offset: UInt64

    /// What a capability is, by the number that the PCI-SIG gave it (PCI Code and ID Assignment Specification).
    public struct ID: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let powerManagement = ID(rawValue: 0x01)
        public static let msi = ID(rawValue: 0x05)
        /// A vendor's own; see ``PCIVendorCapability``.
        public static let vendorSpecific = ID(rawValue: 0x09)
        public static let pciExpress = ID(rawValue: 0x10)
        public static let msix = ID(rawValue: 0x11)
        public static let advancedFeatures = ID(rawValue: 0x13)
    }
}
