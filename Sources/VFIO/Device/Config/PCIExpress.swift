/// The PCI Express capability (PCI Express Base Specification 5.0, 7.5.3).
public struct PCIExpress: Sendable, Hashable {
    /// The version of the capability.
    public let version: UInt8
    /// The port type: 0 an endpoint, 1 a legacy endpoint, 4 a root port, 9 an endpoint integrated in the root complex.
    public let portType: UInt8
    /// The maximum payload size that the function supports, in bytes.
    public let largestSupportedPayload: Int
    /// The configured maximum payload size, in bytes.
    public let payload: Int
    /// The configured maximum read request size, in bytes.
    public let readRequest: Int
    /// Whether the function supports FLR.
    public let supportsFLR: Bool
    /// The speed of the link as a generation: 1 for 2.5 GT/s, 2 for 5 GT/s, and so on; 0 without a link.
    public let linkSpeed: Int
    /// The number of lanes in use; 0 without a link.
    public let linkWidth: Int

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let capabilities = try config.read16(at: offset + 2)
        let device = try config.read32(at: offset + 4)
        let control = try config.read16(at: offset + 8)
        let link = try config.read16(at: offset + 0x12)
        version = UInt8(capabilities & 0xF)
        portType = UInt8(capabilities >> 4 & 0xF)
        largestSupportedPayload = 128 << Int(device & 0x7)
        payload = 128 << Int(control >> 5 & 0x7)
        readRequest = 128 << Int(control >> 12 & 0x7)
        supportsFLR = device & 1 << 28 != 0
        linkSpeed = Int(link & 0xF)
        linkWidth = Int(link >> 4 & 0x3F)
    }
}
