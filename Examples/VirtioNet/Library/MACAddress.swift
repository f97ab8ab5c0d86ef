/// The address of a port on an Ethernet.
public struct MACAddress: Sendable, Hashable {
    /// The 48 bits, the first byte as the highest.
    public let rawValue: UInt64

    /// The address of 48 bits; higher ones are dropped.
    public init(_ rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

    /// The six bytes in their order on the network.
    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> (40 - $0 * 8)) } }
}

extension MACAddress: CustomStringConvertible {
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
