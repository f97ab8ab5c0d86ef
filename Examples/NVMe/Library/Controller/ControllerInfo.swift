/// The controller's identification data (Identify, CNS 1: NVM Express Base Specification 1.4, 5.15.2.2).
public struct ControllerInfo: Sendable, Hashable {
    /// The PCI vendor ID.
    public let vendorID: UInt16
    /// The serial number.
    public let serialNumber: String
    /// The model name.
    public let model: String
    /// The firmware revision.
    public let firmwareRevision: String
    /// The supported version of the specification, such as 1.4.0.
    public let version: String
    /// The maximum number of bytes of one command (MDTS); `nil` for no limit.
    public let maximumTransferByteCount: Int?
    /// The maximum number of namespaces.
    public let namespaceCount: UInt32
    /// Whether it has a volatile write cache, whose data is lost on a power failure unless it is flushed.
    public let hasVolatileWriteCache: Bool
    /// Register VS.
    let versionNumber: UInt32

    /// Decodes the Identify data, of 4096 bytes.
    init(_ bytes: [UInt8], pageSize: Int, version: UInt32) {
        vendorID = UInt16(bytes[0]) | UInt16(bytes[1]) << 8
        serialNumber = Self.text(bytes[4..<24])
        model = Self.text(bytes[24..<64])
        firmwareRevision = Self.text(bytes[64..<72])
        // A power of two in units of the minimum page size; 0 means no limit, and so do values beyond any possible
        // transfer.
        maximumTransferByteCount = bytes[77] == 0 || bytes[77] > 32 ? nil : pageSize << Int(bytes[77])
        namespaceCount = (0..<4).reduce(0) { $0 | UInt32(bytes[516 + $1]) << (8 * UInt32($1)) }
        hasVolatileWriteCache = bytes[525] & 1 == 1
        versionNumber = version
        self.version = "\(version >> 16).\(version >> 8 & 0xff).\(version & 0xff)"
    }

    /// ASCII, padded with spaces.
    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        let printable = bytes.map { (0x20...0x7e).contains($0) ? $0 : 0x20 }
        let end = printable.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? 0
        return String(decoding: printable[..<end], as: UTF8.self)
    }
}
