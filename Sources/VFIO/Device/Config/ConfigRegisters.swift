/// Reads registers of a config space: the device's, or a copy of one in a test.
///
/// Walking and decoding a config space needs only this, so it can be tested with any bytes.
protocol ConfigRegisters {
    /// The size in bytes.
    func byteCount() throws(VFIOError) -> UInt64
    func read8(at offset: UInt64) throws(VFIOError) -> UInt8
    func read16(at offset: UInt64) throws(VFIOError) -> UInt16
    func read32(at offset: UInt64) throws(VFIOError) -> UInt32
}

extension ConfigRegisters {
    /// Walks the capability list.
    ///
    /// The device may have a broken list: the walk ends at a pointer that leads into the header or past the end, and at
    /// an entry that it has visited before.
    func walkCapabilities() throws(VFIOError) -> [PCICapability] {
        let hasList: UInt16 = 1 << 4
        guard try read16(at: 0x06) & hasList != 0 else { return [] }
        var found: [PCICapability] = []
        var seen: Set<UInt64> = []
        var pointer = UInt64(try read8(at: 0x34)) & ~3
        while pointer >= 0x40, seen.insert(pointer).inserted {
            let id = try read8(at: pointer)
            // All ones: the device does not respond, such as after removal.
            guard id != 0xFF else { break }
            found.append(PCICapability(id: .init(rawValue: id), offset: pointer))
            pointer = UInt64(try read8(at: pointer + 1)) & ~3
        }
        return found
    }

    /// Walks the extended capability list; empty for a conventional PCI device.
    func walkExtendedCapabilities() throws(VFIOError) -> [PCIExtendedCapability] {
        let end = try byteCount()
        var found: [PCIExtendedCapability] = []
        var seen: Set<UInt64> = []
        var pointer: UInt64 = 0x100
        while pointer >= 0x100, pointer + 4 <= end, seen.insert(pointer).inserted {
            let header = try read32(at: pointer)
            // Zero at the start means an empty list, and all ones a device that does not respond.
            guard header != 0, header != .max else { break }
            // A header without an ID only holds the next pointer: vfio-pci hides capabilities in this way.
            if header & 0xFFFF != 0 {
                found.append(
                    PCIExtendedCapability(
                        id: .init(rawValue: UInt16(truncatingIfNeeded: header)),
                        version: UInt8(header >> 16 & 0xF), offset: pointer))
            }
            pointer = UInt64(header >> 20) & ~3
        }
        return found
    }

    /// Returns the offset of the first capability with an ID; `nil` also if the end of the list's space truncates it.
    ///
    /// - Parameter byteCount: The number of bytes that will be read.
    func position(of id: PCICapability.ID, byteCount: UInt64) throws(VFIOError) -> UInt64? {
        try walkCapabilities().first { $0.id == id && $0.offset + byteCount <= 0x100 }?.offset
    }

    /// Returns the offset of the first extended capability with an ID; `nil` also if the end of config space truncates
    /// it.
    ///
    /// - Parameter byteCount: The number of bytes that will be read.
    func position(of id: PCIExtendedCapability.ID, byteCount: UInt64) throws(VFIOError) -> UInt64? {
        let end = try self.byteCount()
        return try walkExtendedCapabilities().first { $0.id == id && $0.offset + byteCount <= end }?.offset
    }
}
