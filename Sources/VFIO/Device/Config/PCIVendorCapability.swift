/// A vendor-specific capability, whose contents the vendor defines.
public struct PCIVendorCapability: Sendable, Hashable {
    /// All bytes of the capability, including its ID and its next pointer.
    public let bytes: [UInt8]

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let length = UInt64(try config.read8(at: offset + 2))
        // The device reports the length; the list's space ends after the first 256 bytes.
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
