/// The access control services capability, ACS (PCI Express Base Specification 5.0, 7.7.8): it isolates functions from
/// each other, and so determines which of them share an IOMMU group.
public struct PCIAccessControl: Sendable, Hashable {
    /// The services, as bits of the capability and of the control register.
    public struct Services: OptionSet, Sendable, Hashable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let sourceValidation = Services(rawValue: 1 << 0)
        public static let translationBlocking = Services(rawValue: 1 << 1)
        public static let requestRedirect = Services(rawValue: 1 << 2)
        public static let completionRedirect = Services(rawValue: 1 << 3)
        public static let upstreamForwarding = Services(rawValue: 1 << 4)
        public static let egressControl = Services(rawValue: 1 << 5)
        public static let directTranslated = Services(rawValue: 1 << 6)
    }

    /// The services that the function supports.
    public let supported: Services
    /// The services that are enabled.
    public let enabled: Services

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        supported = Services(rawValue: try config.read16(at: offset + 4))
        enabled = Services(rawValue: try config.read16(at: offset + 6))
    }
}
