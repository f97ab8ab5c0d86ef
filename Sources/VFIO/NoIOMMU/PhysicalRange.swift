/// Physical memory in one piece, as large as a device may take for one transfer.
public struct PhysicalRange: Sendable, Hashable {
    /// Where it begins.
    public let address: PhysicalAddress
    /// How many bytes follow one another from there; at least 1.
    public let byteCount: UInt64

    public init(address: PhysicalAddress, byteCount: UInt64) {
        self.address = address
        self.byteCount = byteCount
    }
}

extension PhysicalRange: CustomStringConvertible {
    public var description: String { "\(byteCount) bytes at \(address)" }
}
