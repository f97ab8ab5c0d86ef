/// Contiguous physical memory, which a device can use in one transfer.
public struct PhysicalRange: Sendable, Hashable {
    /// The first address.
    public let address: PhysicalAddress
    /// The length in bytes; at least 1.
    public let byteCount: UInt64

    public init(address: PhysicalAddress, byteCount: UInt64) {
        self.address = address
        self.byteCount = byteCount
    }
}

extension PhysicalRange: CustomStringConvertible {
    public var description: String { "\(byteCount) bytes at \(address)" }
}
