extension NVMeModel {
    /// The identity of the controller.
    enum Identity {
        static let serialNumber = "MOCK0001"
        static let modelNumber = "swift-vfio mock NVMe controller"
        static let firmwareRevision = "1.0"
        static let qualifiedName = "nqn.2014-08.org.nvmexpress:uuid:6d6f636b-6e76-4d65-8000-000000000001"
        static let namespaceUUID: [UInt8] = Array("mocknvme".utf8) + [0x80, 0, 0, 0, 0, 0, 0, 2]
    }

    mutating func identify(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let namespace = command.namespace
        // CSI: the command set that some of the structures are for. There is the NVM command set alone.
        let commandSet = command.dword11 >> 24
        switch command.dword10 & 0xff {
        case 0x00:
            guard (1...Self.namespaceLimit).contains(namespace) else { throw .invalidNamespace }
            // Zeros for an inactive one.
            try send(namespace == 1 ? namespaceStructure : [UInt8](repeating: 0, count: 4096), of: command, bus)
        case 0x01: try send(controllerStructure, of: command, bus)
        case 0x02, 0x07:
            guard command.dword10 & 0xff == 2 || commandSet == 0 else { throw .invalidField }
            // The active namespaces with a greater number.
            guard namespace < 0xffff_fffe else { throw .invalidNamespace }
            var list = [UInt8](repeating: 0, count: 4096)
            if namespace < 1 { list.set(0, UInt32(1)) }
            try send(list, of: command, bus)
        case 0x03:
            guard namespace == 1 else { throw .invalidNamespace }
            var list = [UInt8](repeating: 0, count: 4096)
            // A UUID, of 16 bytes, and the command set, of 1 byte, since CAP.CSS tells that each namespace has one.
            list.set(0, UInt16(0x1003))
            list.set(4, bytes: Identity.namespaceUUID)
            list.set(20, UInt16(0x0104))
            try send(list, of: command, bus)
        // What is particular to the command set, of a namespace and of the controller: nothing is.
        case 0x05:
            guard (1...Self.namespaceLimit).contains(namespace) else { throw .invalidNamespace }
            guard commandSet == 0 else { throw .invalidField }
            try send([UInt8](repeating: 0, count: 4096), of: command, bus)
        case 0x06:
            guard commandSet == 0 else { throw .invalidField }
            try send([UInt8](repeating: 0, count: 4096), of: command, bus)
        case 0x1c:
            // The combinations of command sets that can be used: the first is the NVM command set.
            var list = [UInt8](repeating: 0, count: 4096)
            list[0] = 1
            try send(list, of: command, bus)
        default: throw .invalidField
        }
    }

    /// Identify Controller, section 5.15.2.2.
    private var controllerStructure: [UInt8] {
        var structure = [UInt8](repeating: 0, count: 4096)
        structure.set(0, pci.vendor)
        structure.set(2, pci.subsystemVendor)
        structure.set(4, 20, text: Identity.serialNumber)
        structure.set(24, 40, text: Identity.modelNumber)
        structure.set(64, 8, text: Identity.firmwareRevision)
        structure[72] = 6
        // MDTS, in pages of the smallest size.
        structure[77] = UInt8(Self.transferShiftLimit)
        structure.set(80, Self.version)
        // An I/O controller.
        structure[111] = 1
        // Abort: four at a time; Asynchronous Event Request: four at a time.
        // Then one firmware slot, which is read-only; Get Log Page with offsets; the entries of the log.
        structure.set(
            258, bytes: [3, UInt8(Self.eventRequestLimit - 1), 3, 1 << 2, UInt8(Self.errorLogLimit - 1)])
        structure.set(266, UInt16(Self.temperatureLimit))
        structure.set(268, UInt16(Self.temperatureLimit + 20))
        structure.set(512, bytes: [0x66, 0x44])
        structure.set(516, Self.namespaceLimit)
        // Write Zeroes.
        structure.set(520, UInt16(1 << 3))
        // A volatile write cache, whose Flush may be for all namespaces.
        structure[525] = 7
        structure.set(768, bytes: Array(Identity.qualifiedName.utf8))
        // The one power state takes 25 W at most.
        structure.set(2048, UInt16(2500))
        return structure
    }

    /// Identify Namespace, section 5.15.2.1.
    private var namespaceStructure: [UInt8] {
        var structure = [UInt8](repeating: 0, count: 4096)
        for field in [0, 8, 16] { structure.set(field, disk.blockCount) }
        // Two formats, of which the namespace has one.
        structure.set(25, bytes: [1, disk.blockByteCount == 512 ? 0 : 1])
        structure.set(128, UInt32(9) << 16)
        structure.set(132, UInt32(12) << 16)
        return structure
    }
}
