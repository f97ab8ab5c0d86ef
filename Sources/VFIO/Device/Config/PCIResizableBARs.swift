/// The resizable BAR capability (PCI Express Base Specification 5.0, 7.8.6).
public struct PCIResizableBARs: Sendable, Hashable {
    /// A BAR whose size can be set.
    public struct Entry: Sendable, Hashable {
        /// The number of the BAR.
        public let bar: Int
        /// The supported sizes in bytes, smallest first.
        public let sizes: [UInt64]
        /// The current size in bytes.
        public let size: UInt64
    }

    public let entries: [Entry]

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        var entries: [Entry] = []
        // The first control register holds the number of entries, at most one for each of the six BARs.
        let count = min(Int(try config.read32(at: offset + 8) >> 5 & 0x7), 6)
        let end = try config.byteCount()
        for index in 0..<UInt64(count) where offset + 12 + index * 8 <= end {
            let capability = try config.read32(at: offset + 4 + index * 8)
            let control = try config.read32(at: offset + 8 + index * 8)
            let sizes = (4..<32).filter { capability >> UInt32($0) & 1 != 0 }.map { UInt64(1 << 20) << UInt64($0 - 4) }
            entries.append(
                Entry(bar: Int(control & 0x7), sizes: sizes, size: UInt64(1 << 20) << UInt64(control >> 8 & 0x3F)))
        }
        self.entries = entries
    }
}
