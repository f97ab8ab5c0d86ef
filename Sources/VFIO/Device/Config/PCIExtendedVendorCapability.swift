/// A vendor-specific extended capability (PCI Express Base Specification 5.0, 7.9.5).
public struct PCIExtendedVendorCapability: Sendable, Hashable {
    /// The ID, as assigned by the vendor.
    public let id: UInt16
    /// The revision, as assigned by the vendor.
    public let revision: UInt8
    /// Its length in bytes, both headers included.
    public let byteCount: Int

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let header = try config.read32(at: offset + 4)
        id = UInt16(truncatingIfNeeded: header)
        revision = UInt8(header >> 16 & 0xF)
        byteCount = Int(header >> 20)
    }
}
