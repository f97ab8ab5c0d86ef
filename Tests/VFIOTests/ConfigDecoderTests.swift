@testable import VFIO

/// The decoders of config space on bytes that no sound device has.
@Suite struct ConfigDecoderTests {
    /// A config space in an array.
    struct ConfigBytes: ConfigRegisters {
        var bytes: [UInt8]

        init(count: Int = 256, filledWith byte: UInt8 = 0) { bytes = [UInt8](repeating: byte, count: count) }

        /// With a capability list that begins at `first`.
        init(count: Int = 256, first: UInt8) {
            self.init(count: count)
            bytes[6] = 0x10
            bytes[0x34] = first
        }

        func byteCount() throws(VFIOError) -> UInt64 { UInt64(bytes.count) }

        private func value(at offset: UInt64, _ width: Int) throws(VFIOError) -> UInt32 {
            guard offset % UInt64(width) == 0, offset + UInt64(width) <= bytes.count else {
                throw VFIOError(.outOfRange, "read", "offset \(offset)")
            }
            return (0..<width).reduce(0) { $0 | UInt32(bytes[Int(offset) + $1]) << UInt32($1 * 8) }
        }

        func read8(at offset: UInt64) throws(VFIOError) -> UInt8 { UInt8(try value(at: offset, 1)) }
        func read16(at offset: UInt64) throws(VFIOError) -> UInt16 { UInt16(try value(at: offset, 2)) }
        func read32(at offset: UInt64) throws(VFIOError) -> UInt32 { try value(at: offset, 4) }

        mutating func set(_ offset: Int, _ values: UInt8...) {
            bytes.replaceSubrange(offset..<offset + values.count, with: values)
        }

        mutating func set32(_ offset: Int, _ value: UInt32) {
            for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8)) }
        }
    }

    // MARK: The lists

    @Test func aDeviceThatIsGoneHasNoCapabilities() throws {
        for count in [256, 4096] {
            let gone = ConfigBytes(count: count, filledWith: 0xff)
            #expect(try gone.walkCapabilities().isEmpty)
            #expect(try gone.walkExtendedCapabilities().isEmpty)
        }
    }

    @Test func circlesEnd() throws {
        var config = ConfigBytes(first: 0x40)
        config.set(0x40, 0x01, 0x50)
        config.set(0x50, 0x05, 0x40)
        #expect(try config.walkCapabilities().map(\.offset) == [0x40, 0x50])
        config.set(0x50, 0x05, 0x50)
        #expect(try config.walkCapabilities().map(\.offset) == [0x40, 0x50])
        var extended = ConfigBytes(count: 4096)
        extended.set32(0x100, 0x2001_0001)
        extended.set32(0x200, 0x1001_0010)
        #expect(try extended.walkExtendedCapabilities().map(\.offset) == [0x100, 0x200])
    }

    @Test(arguments: [UInt8(0), 4, 0x3c, 0x3f]) func aPointerIntoTheHeaderEndsTheList(_ pointer: UInt8) throws {
        #expect(try ConfigBytes(first: pointer).walkCapabilities().isEmpty)
        var config = ConfigBytes(first: 0x40)
        config.set(0x40, 0x01, pointer)
        #expect(try config.walkCapabilities().map(\.offset) == [0x40])
    }

    @Test func extendedPointersPastTheEndEndTheList() throws {
        // A config space that is shorter than Express makes it, which a driver of the kernel's could show.
        var config = ConfigBytes(count: 0x200)
        config.set32(0x100, 0x2001_0001)
        #expect(try config.walkExtendedCapabilities().map(\.offset) == [0x100])
        config.set32(0x100, 0xffc1_0001)
        #expect(try config.walkExtendedCapabilities().count == 1)
        #expect(try ConfigBytes(count: 256).walkExtendedCapabilities().isEmpty)
        #expect(try ConfigBytes(count: 0x102).walkExtendedCapabilities().isEmpty)
    }

    @Test func anExtendedHeaderWithoutAnIDOnlyPointsOn() throws {
        var config = ConfigBytes(count: 4096)
        config.set32(0x100, 0x1500_0000)
        config.set32(0x150, 0x0001_000d)
        #expect(try config.walkExtendedCapabilities() == [.init(id: .accessControlServices, version: 1, offset: 0x150)])
    }

    // MARK: What is cut short

    @Test func aCapabilityThatIsCutShortIsNone() throws {
        var config = ConfigBytes(count: 4096, first: 0xfc)
        config.set(0xfc, 0x01, 0)
        #expect(try config.capabilities().count == 1)
        #expect(try config.position(of: .powerManagement, byteCount: 6) == nil)
        #expect(try config.position(of: .powerManagement, byteCount: 4) == 0xfc)
        var extended = ConfigBytes(count: 4096)
        extended.set32(0x100, 0xffc1_000f)
        #expect(try extended.position(of: .addressTranslationServices, byteCount: 8) == 0x100)
        extended.set32(0x100, 0xffc1_0001)
        extended.set32(0xffc, 0x0001_000f)
        #expect(try extended.position(of: .addressTranslationServices, byteCount: 8) == nil)
    }

    @Test func aVendorsLengthIsCutAtTheEnd() throws {
        var config = ConfigBytes(first: 0xf8)
        config.set(0xf8, 0x09, 0, 0xff, 1, 2, 3, 4, 5)
        #expect(try PCIVendorCapability(config, at: 0xf8).bytes == [0x09, 0, 0xff, 1, 2, 3, 4, 5])
        config.set(0xfa, 0)
        #expect(try PCIVendorCapability(config, at: 0xf8).bytes.isEmpty)
    }

    // MARK: What the registers say

    @Test func allOnesDecodeToSomething() throws {
        let ones = ConfigBytes(count: 4096, filledWith: 0xff)
        #expect(try PCIPowerManagement(ones, at: 0x40).state == 3)
        let msi = try PCIMSI(ones, at: 0x40)
        #expect(msi.vectorCount == 32 && msi.enabledVectorCount == 32)
        let msix = try PCIMSIX(ones, at: 0x40)
        #expect(msix.vectorCount == 2048 && msix.table.bar == 7 && msix.table.offset == 0xffff_fff8)
        #expect(msix.tableRange.upperBound == 0x1_0000_7ff8)
        let express = try PCIExpress(ones, at: 0x40)
        #expect(express.payload == 16384 && express.linkWidth == 63)
        #expect(try PCIAddressTranslation(ones, at: 0x100).invalidationQueueDepth == 31)
        #expect(try PCISingleRootIOV(ones, at: 0x100).totalVirtualFunctions == 65535)
        #expect(try PCIResizableBARs(ones, at: 0x100).entries.count == 6)
        #expect(try PCIExtendedVendorCapability(ones, at: 0x100).byteCount == 0xfff)
    }

    @Test func resizableBARsEndWithTheSpace() throws {
        var config = ConfigBytes(count: 4096)
        // Three entries, and room for one.
        config.set32(0xff0 + 4, 0x0000_0010 | 1 << 8)
        config.set32(0xff0 + 8, 0x0000_0062 | 4 << 8)
        let found = try PCIResizableBARs(config, at: 0xff0)
        #expect(found.entries == [.init(bar: 2, sizes: [1 << 20, 1 << 24], size: 1 << 24)])
    }
}

extension ConfigRegisters {
    fileprivate func capabilities() throws(VFIOError) -> [PCICapability] { try walkCapabilities() }
}
