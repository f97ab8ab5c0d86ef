/// One entry of a function's extended capability list, from byte 256 of its config space on (PCI Express only).
public struct PCIExtendedCapability: Sendable, Hashable {
    /// The ID of the capability.
    public let id: ID
    /// The version of the capability's layout.
    public let version: UInt8
    /// The offset in config space, in bytes.
    public let offset: UInt64

    /// An extended capability ID, as assigned by the PCI-SIG.
    public struct ID: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let advancedErrorReporting = ID(rawValue: 0x0001)
        /// A vendor-specific capability; see ``PCIExtendedVendorCapability``.
        public static let vendorSpecific = ID(rawValue: 0x000B)
        public static let accessControlServices = ID(rawValue: 0x000D)
        public static let alternativeRouting = ID(rawValue: 0x000E)
        public static let addressTranslationServices = ID(rawValue: 0x000F)
        public static let singleRootIOVirtualization = ID(rawValue: 0x0010)
        public static let resizableBAR = ID(rawValue: 0x0015)
        public static let pageRequestInterface = ID(rawValue: 0x0013)
        public static let processAddressSpaces = ID(rawValue: 0x001B)
    }
}
