/// A vendor's own capability: what its bytes mean, only the vendor knows.
public struct PCIVendorCapability: Sendable, Hashable {
    /// All of its bytes, its id and its pointer included.
    public let bytes: [UInt8]

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let length = UInt64(try config.read8(at: offset + 2))
        // The length is the device's word, and the list ends with the first 256 bytes.
        let end = min(offset + length, 0x100)
        var bytes: [UInt8] = []
        var position = offset
        while position < end {
            bytes.append(try config.read8(at: position))
            position += 1
        }
        self.bytes = bytes
    }
}
