/// What the controller says of itself (Identify, CNS 1: NVM Express Base Specification 1.4, 5.15.2.2).
public struct ControllerInfo: Sendable, Hashable {
    /// The PCI vendor.
    public let vendorID: UInt16
    /// The serial number.
    public let serialNumber: String
    /// The name of the model.
    public let model: String
    /// The revision of the firmware.
    public let firmwareRevision: String
    /// The version of the specification that it follows, such as 1.4.0.
    public let version: String
    /// The most bytes that one command can move (MDTS); `nil` for no limit.
    public let maximumTransferByteCount: Int?
    /// How many namespaces it can have.
    public let namespaceCount: UInt32
    /// Whether it has a cache that loses what was written when the power goes, unless it is flushed.
    public let hasVolatileWriteCache: Bool

    /// Decodes the answer to Identify, of 4096 bytes.
    init(_ bytes: [UInt8], pageSize: Int, version: UInt32) {
        vendorID = UInt16(bytes[0]) | UInt16(bytes[1]) << 8
        serialNumber = Self.text(bytes[4..<24])
        model = Self.text(bytes[24..<64])
        firmwareRevision = Self.text(bytes[64..<72])
        // A power of two of the smallest page; 0 is no limit, and so is what no transfer reaches.
        maximumTransferByteCount = bytes[77] == 0 || bytes[77] > 32 ? nil : pageSize << Int(bytes[77])
        namespaceCount = (0..<4).reduce(0) { $0 | UInt32(bytes[516 + $1]) << (8 * UInt32($1)) }
        hasVolatileWriteCache = bytes[525] & 1 == 1
        self.version = "\(version >> 16).\(version >> 8 & 0xff).\(version & 0xff)"
    }

    /// ASCII, filled up with blanks.
    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        let printable = bytes.map { (0x20...0x7e).contains($0) ? $0 : 0x20 }
        let end = printable.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? 0
        return String(decoding: printable[..<end], as: UTF8.self)
    }
}
