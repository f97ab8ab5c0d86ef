extension NVMeModel {
    /// What the controller says of itself, as texts.
    enum Identity {
        static let serialNumber = "MOCK0001"
        static let modelNumber = "swift-vfio mock NVMe controller"
        static let firmwareRevision = "1.0"
        static let qualifiedName = "nqn.2014-08.org.nvmexpress:uuid:6d6f636b-6e76-4d65-8000-000000000001"
        /// Of the namespace: a UUID.
        static let uuid: [UInt8] = Array("mocknvme".utf8) + [0x80, 0, 0, 0, 0, 0, 0, 2]
    }

    mutating func identify(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let namespace = command.namespace
        switch command.dword10 & 0xff {
        case 0x00:
            guard (1...Self.namespaceLimit).contains(namespace) else { throw .invalidNamespace }
            // All zeros for one that is not active.
            try send(namespace == 1 ? namespaceStructure : [UInt8](repeating: 0, count: 4096), of: command, bus)
        case 0x01: try send(controllerStructure, of: command, bus)
        case 0x02:
            // The active namespaces with a greater number.
            guard namespace < 0xffff_fffe else { throw .invalidNamespace }
            var list = LittleEndianStructure(4096)
            if namespace < 1 { list.set(0, UInt32(1)) }
            try send(list.bytes, of: command, bus)
        case 0x03:
            guard namespace == 1 else { throw .invalidNamespace }
            var list = LittleEndianStructure(4096)
            // A UUID, of 16 bytes.
            list.set(0, UInt16(0x1003))
            list.set(4, bytes: Identity.uuid)
            try send(list.bytes, of: command, bus)
        default: throw .invalidField
        }
    }

    /// Identify Controller, section 5.15.2.2.
    private var controllerStructure: [UInt8] {
        var structure = LittleEndianStructure(4096)
        structure.set(0, pci.vendor)
        structure.set(2, pci.subsystemVendor)
        structure.setText(4, 20, Identity.serialNumber)
        structure.setText(24, 40, Identity.modelNumber)
        structure.setText(64, 8, Identity.firmwareRevision)
        structure.set(72, UInt8(6))
        // MDTS, in pages of the smallest size.
        structure.set(77, UInt8(Self.transferShiftLimit))
        structure.set(80, Self.version)
        // An I/O controller.
        structure.set(111, UInt8(1))
        // Abort: four at a time; Asynchronous Event Request: four at a time; four entries in the error log.
        structure.set(258, UInt8(3))
        structure.set(259, UInt8(Self.eventRequestLimit - 1))
        // One firmware slot, which is read-only.
        structure.set(260, UInt8(3))
        // Get Log Page with offsets.
        structure.set(261, UInt8(1 << 2))
        structure.set(262, UInt8(Self.errorLogLimit - 1))
        structure.set(266, UInt16(Self.temperatureLimit))
        structure.set(268, UInt16(Self.temperatureLimit + 20))
        structure.set(512, UInt8(0x66))
        structure.set(513, UInt8(0x44))
        structure.set(516, Self.namespaceLimit)
        // Write Zeroes.
        structure.set(520, UInt16(1 << 3))
        // A volatile write cache, whose Flush may be for all namespaces.
        structure.set(525, UInt8(7))
        structure.set(768, bytes: Array(Identity.qualifiedName.utf8))
        // The one power state takes 25 W at most.
        structure.set(2048, UInt16(2500))
        return structure.bytes
    }

    /// Identify Namespace, section 5.15.2.1.
    private var namespaceStructure: [UInt8] {
        var structure = LittleEndianStructure(4096)
        structure.set(0, disk.blockCount)
        structure.set(8, disk.blockCount)
        structure.set(16, disk.blockCount)
        // Two formats, of which the namespace has one.
        structure.set(25, UInt8(1))
        structure.set(26, UInt8(disk.blockByteCount == 512 ? 0 : 1))
        structure.set(128, UInt32(9) << 16)
        structure.set(132, UInt32(12) << 16)
        return structure.bytes
    }
}

/// A structure of a specification, filled in field by field.
struct LittleEndianStructure {
    private(set) var bytes: [UInt8]

    init(_ byteCount: Int) { bytes = [UInt8](repeating: 0, count: byteCount) }

    mutating func set<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ value: Value) {
        for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
    }

    mutating func set(_ offset: Int, bytes new: [UInt8]) {
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    /// Sets a field of ASCII, filled up with spaces.
    mutating func setText(_ offset: Int, _ byteCount: Int, _ text: String) {
        let text = Array(text.utf8.prefix(byteCount))
        set(offset, bytes: text + [UInt8](repeating: UInt8(ascii: " "), count: byteCount - text.count))
    }
}
