/// The address translation services capability, ATS (PCI Express Base Specification 5.0, 10.5.1).
public struct PCIAddressTranslation: Sendable, Hashable {
    /// Whether the function requests translations from the IOMMU.
    public let isEnabled: Bool
    /// The number of invalidations that the function can queue, 1 to 32.
    public let invalidationQueueDepth: Int
    /// The smallest translation unit, in bytes.
    public let translationUnit: UInt64

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let capabilities = try config.read16(at: offset + 4)
        let control = try config.read16(at: offset + 6)
        let depth = Int(capabilities & 0x1F)
        invalidationQueueDepth = depth == 0 ? 32 : depth
        isEnabled = control & 1 << 15 != 0
        translationUnit = 4096 << UInt64(control & 0x1F)
    }
}
