/// The MSI-X capability (PCI Local Bus Specification 3.0, 6.8.2).
public struct PCIMSIX: Sendable, Hashable {
    /// Whether MSI-X is enabled.
    public let isEnabled: Bool
    /// Whether all vectors are masked.
    public let isMasked: Bool
    /// The number of vectors of the table, 1 to 2048.
    public let vectorCount: Int
    /// The location of the table.
    public let table: Location
    /// The location of the pending bits.
    public let pendingBits: Location

    /// A location in a BAR.
    public struct Location: Sendable, Hashable {
        /// The number of the BAR, 0 to 5 (6 and 7 are reserved).
        public let bar: Int
        /// The offset in bytes from the start of the BAR.
        public let offset: UInt64

        init(_ register: UInt32) {
            bar = Int(register & 0x7)
            offset = UInt64(register & ~0x7)
        }
    }

    /// The range of the table in its BAR, in bytes: 16 for each vector.
    public var tableRange: Range<UInt64> { table.offset..<(table.offset + UInt64(vectorCount) * 16) }

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let control = try config.read16(at: offset + 2)
        isEnabled = control & 1 << 15 != 0
        isMasked = control & 1 << 14 != 0
        vectorCount = Int(control & 0x7FF) + 1
        table = Location(try config.read32(at: offset + 4))
        pendingBits = Location(try config.read32(at: offset + 8))
    }
}
