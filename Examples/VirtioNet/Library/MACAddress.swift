/// The Ethernet address of a port.
public struct MACAddress: Sendable, Hashable {
    /// The 48 bits, with the first byte as the most significant.
    public let rawValue: UInt64

    /// Creates an address from the low 48 bits.
    public init(_ rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

    /// The six bytes in network order.
    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> (40 - $0 * 8)) } }
}

extension MACAddress: CustomStringConvertible {
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
