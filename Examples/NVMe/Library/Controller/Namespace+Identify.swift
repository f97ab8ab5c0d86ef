extension Namespace {
    /// Decodes the Identify data of a namespace, of 4096 bytes (CNS 0: NVM Express Base Specification 1.4, 5.15.2.1).
    ///
    /// - Throws: `.unsupported` for a format with metadata, or with a block size that this driver does not support.
    init(id: UInt32, identity bytes: [UInt8]) throws(NVMeError) {
        let blockCount = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << (8 * UInt64($1)) }
        guard blockCount > 0 else { throw .invalidArgument("the controller has no active namespace \(id)") }
        // FLBAS: the index of the LBA format, of 4 bytes each. Bits 5 and 6 are its upper bits where there are more than
        // 16 formats (NVM Command Set Specification 1.0, 4.1.5.1): NLBAF, which is one less, and NULBAF.
        let index = bytes[26] & 0xf | (Int(bytes[25]) + Int(bytes[82]) >= 16 ? bytes[26] >> 1 & 0x30 : 0)
        let format = 128 + 4 * Int(index)
        let metadataByteCount = Int(bytes[format]) | Int(bytes[format + 1]) << 8
        let blockShift = Int(bytes[format + 2])
        guard metadataByteCount == 0 else {
            throw .unsupported("blocks with \(metadataByteCount) bytes of metadata, which namespace \(id) has")
        }
        guard (9...24).contains(blockShift) else {
            throw .unsupported("blocks of 2^\(blockShift) bytes, which namespace \(id) has")
        }
        // Byte counts must fit into Int64, as file offsets do.
        guard blockCount <= UInt64(Int64.max) >> UInt64(blockShift) else {
            throw .unsupported("a namespace of \(blockCount) blocks of 2^\(blockShift) bytes, as \(id) is said to be")
        }
        // As the controller has it.
        unsafe self.init(id: id, blockCount: blockCount, blockSize: 1 << blockShift)
    }

    /// The command set in a list of descriptors, of 4096 bytes (CNS 3: NVM Express Base Specification 2.0, 5.17.2.3);
    /// `nil` when the list does not tell it.
    static func commandSet(inDescriptors bytes: [UInt8]) -> UInt8? {
        var offset = 0
        // A type (4 is the command set), a length, two reserved bytes, and the value.
        while offset + 4 < bytes.count, bytes[offset + 1] > 0 {
            if bytes[offset] == 4 { return bytes[offset + 4] }
            offset += 4 + Int(bytes[offset + 1])
        }
        return nil
    }
}
