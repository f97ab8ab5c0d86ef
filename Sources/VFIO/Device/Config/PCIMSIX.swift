/// The MSI-X capability (PCI Local Bus Specification 3.0, 6.8.2).
public struct PCIMSIX: Sendable, Hashable {
    /// Whether the function raises MSI-X interrupts.
    public let isEnabled: Bool
    /// Whether all vectors are masked.
    public let isMasked: Bool
    /// How many vectors the table has, 1 to 2048.
    public let vectorCount: Int
    /// Where the table is.
    public let table: Location
    /// Where the pending bits are.
    public let pendingBits: Location

    /// A place in a BAR.
    public struct Location: Sendable, Hashable {
        /// The number of the BAR, 0 to 5 (6 and 7 are reserved).
        public let bar: Int
        /// In bytes from the start of the BAR.
        public let offset: UInt64

        init(_ register: UInt32) {
            bar = Int(register & 0x7)
            offset = UInt64(register & ~0x7)
        }
    }

    /// The part of its BAR that the table takes, in bytes: 16 for each vector.
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
