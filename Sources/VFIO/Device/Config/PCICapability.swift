/// One entry of a function's capability list, in the first 256 bytes of its config space.
public struct PCICapability: Sendable, Hashable {
    /// The ID of the capability.
    public let id: ID
    /// The offset in config space, in bytes.
    public let offset: UInt64

    /// A capability ID, as assigned by the PCI-SIG (PCI Code and ID Assignment Specification).
    public struct ID: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let powerManagement = ID(rawValue: 0x01)
        public static let msi = ID(rawValue: 0x05)
        /// A vendor-specific capability; see ``PCIVendorCapability``.
        public static let vendorSpecific = ID(rawValue: 0x09)
        public static let pciExpress = ID(rawValue: 0x10)
        public static let msix = ID(rawValue: 0x11)
        public static let advancedFeatures = ID(rawValue: 0x13)
    }
}
