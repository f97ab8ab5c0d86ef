@testable import NVMe

@Suite struct IdentifyTests {
    @Test func controller() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes.replaceSubrange(0..<2, with: [0x36, 0x1b])
        bytes.replaceSubrange(4..<24, with: Array("serial              ".utf8))
        bytes.replaceSubrange(24..<28, with: Array("mo\u{7}l".utf8))
        bytes.replaceSubrange(64..<72, with: Array("fw 1.0  ".utf8))
        bytes[77] = 5
        bytes.replaceSubrange(516..<520, with: [1, 2, 0, 0])
        bytes[525] = 7
        let info = ControllerInfo(bytes, pageSize: 4096, version: 0x0001_0402)
        #expect(info.vendorID == 0x1b36)
        #expect(info.serialNumber == "serial")
        #expect(info.model == "mo l")
        #expect(info.firmwareRevision == "fw 1.0")
        #expect(info.version == "1.4.2")
        #expect(info.maximumTransferByteCount == 131072)
        #expect(info.namespaceCount == 513)
        #expect(info.hasVolatileWriteCache)
        bytes[77] = 0
        #expect(ControllerInfo(bytes, pageSize: 4096, version: 0).maximumTransferByteCount == nil)
        // What no shift can hold is no limit either.
        bytes[77] = 0xff
        #expect(ControllerInfo(bytes, pageSize: 4096, version: 0).maximumTransferByteCount == nil)
    }

    private static func namespace(blockCount: UInt8, shift: UInt8, metadata: UInt8 = 0) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes[1] = blockCount
        bytes[26] = 0x12
        bytes[136] = metadata
        bytes[138] = shift
        return bytes
    }

    @Test func namespace() throws {
        let namespace = try Namespace(id: 3, identity: Self.namespace(blockCount: 2, shift: 12))
        #expect(namespace == Namespace(id: 3, blockCount: 512, blockSize: 4096))
        #expect(namespace.byteCount == 2 << 20)
    }

    @Test func namespacesThatTheDriverCannotUse() {
        #expect(throws: NVMeError.invalidArgument("the controller has no active namespace 3")) {
            try Namespace(id: 3, identity: Self.namespace(blockCount: 0, shift: 9))
        }
        #expect(throws: NVMeError.unsupported("blocks with 8 bytes of metadata, which namespace 3 has")) {
            try Namespace(id: 3, identity: Self.namespace(blockCount: 1, shift: 9, metadata: 8))
        }
        #expect(throws: NVMeError.unsupported("blocks of 2^63 bytes, which namespace 3 has")) {
            try Namespace(id: 3, identity: Self.namespace(blockCount: 1, shift: 63))
        }
        let count = UInt64(1) << 51
        var large = Self.namespace(blockCount: 0, shift: 12)
        large[6] = 1 << 3
        #expect(throws: NVMeError.unsupported("a namespace of \(count) blocks of 2^12 bytes, as 3 is said to be")) {
            try Namespace(id: 3, identity: large)
        }
    }

    @Test func capabilities() {
        let capabilities = ControllerCapabilities(rawValue: 0x0040_0020_0f01_07ff | 2 << 32)
        #expect(capabilities.maximumQueueEntryCount == 2048)
        #expect(capabilities.readyTimeout == .milliseconds(7500))
        #expect(capabilities.doorbellStride == 16)
        #expect(capabilities.hasNVMCommandSet)
        #expect(capabilities.minimumPageSize == 4096)
        #expect(capabilities.maximumPageSize == 65536)
    }

    /// CRTO only counts if CAP says that it is there, and only if it is more than CAP.TO says.
    @Test func theTimeToBecomeReadyIsTheLongerOne() {
        let old = ControllerCapabilities(rawValue: 15 << 24)
        #expect(old.readyTimeout(crto: 100) == .milliseconds(7500))
        let new = ControllerCapabilities(rawValue: 15 << 24 | 1 << 59)
        #expect(new.readyTimeout(crto: 100) == .seconds(50))
        #expect(new.readyTimeout(crto: 0) == .milliseconds(7500))
        #expect(new.readyTimeout(crto: 100 << 16) == .milliseconds(7500))
        #expect(ControllerCapabilities(rawValue: 0).readyTimeout(crto: 0) == .milliseconds(500))
    }

    /// Bits 5 and 6 of FLBAS belong to the index if there are more than 16 formats; bit 4 never does.
    @Test(
        arguments: [
            (16, 0, 0x31, 17), (0, 16, 0x31, 17), (63, 0, 0x7f, 63), (15, 0, 0x31, 1), (15, 0, 0x6f, 15),
        ] as [(UInt8, UInt8, UInt8, Int)])
    func theFormatHasUpToSixBits(_ nlbaf: UInt8, _ nulbaf: UInt8, _ flbas: UInt8, _ index: Int) throws {
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes[0] = 8
        bytes[25] = nlbaf
        bytes[26] = flbas
        bytes[82] = nulbaf
        for format in 0..<64 { bytes[128 + format * 4 + 2] = 9 }
        bytes[128 + index * 4 + 2] = 12
        #expect(try Namespace(id: 1, identity: bytes).blockSize == 4096)
    }

    @Test func theCommandSetIsFoundAmongTheDescriptors() {
        func list(_ descriptors: [UInt8]) -> [UInt8] {
            descriptors + [UInt8](repeating: 0, count: 4096 - descriptors.count)
        }
        let eui: [UInt8] = [1, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        #expect(Namespace.commandSet(inDescriptors: list(eui + [4, 1, 0, 0, 2])) == 2)
        #expect(Namespace.commandSet(inDescriptors: list(eui)) == nil)
        // A length that leaves the list.
        #expect(Namespace.commandSet(inDescriptors: [UInt8](repeating: 0xff, count: 4096)) == nil)
        // The last byte that there is.
        let end = [UInt8](repeating: 1, count: 4090) + [4, 1, 0, 0, 3, 0]
        #expect(Namespace.commandSet(inDescriptors: end) == 3)
    }
}
