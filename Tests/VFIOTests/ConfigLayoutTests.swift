@testable import VFIO

@Suite struct ConfigLayoutTests {
    private static let powerManagement: UInt8 = 0x01
    private static let express: UInt8 = 0x10
    private static let advancedFeatures: UInt8 = 0x13
    private static let vendorSpecific: UInt8 = 0x09

    /// The layout of a config space with these capabilities.
    private func layout(
        pointer: UInt8, status: UInt16 = 0x10, _ capabilities: [(offset: UInt8, id: UInt8, next: UInt8)]
    ) throws -> ConfigLayout {
        var config = ConfigDecoderTests.ConfigBytes(first: pointer)
        config.set(6, UInt8(truncatingIfNeeded: status), UInt8(truncatingIfNeeded: status >> 8))
        for capability in capabilities { config.set(Int(capability.offset), capability.id, capability.next) }
        return try ConfigLayout(config)
    }

    private func known(_ layout: ConfigLayout) -> [UInt64?] {
        [layout.powerControl, layout.expressControl, layout.advancedControl]
    }

    // MARK: The walk

    @Test func aDeviceWithoutCapabilitiesIsNotWalked() throws {
        let layout = try layout(pointer: 0x40, status: 0, [(0x40, Self.powerManagement, 0)])
        #expect(known(layout) == [nil, nil, nil])
    }

    @Test func eachCapabilityIsFound() throws {
        let layout = try layout(
            pointer: 0x80,
            [
                (0x80, Self.vendorSpecific, 0x40), (0x40, Self.powerManagement, 0x60), (0x60, Self.express, 0xf0),
                (0xf0, Self.advancedFeatures, 0),
            ])
        #expect(known(layout) == [0x44, 0x68, 0xf4])
    }

    @Test func theLowBitsOfAPointerAreReserved() throws {
        let layout = try layout(pointer: 0x43, [(0x40, Self.powerManagement, 0x51), (0x50, Self.express, 0x03)])
        #expect(known(layout) == [0x44, 0x58, nil])
    }

    @Test(arguments: [0x00, 0x04, 0x34, 0x3c, 0x3f] as [UInt8])
    func aPointerIntoTheHeaderEndsTheWalk(_ pointer: UInt8) throws {
        #expect(known(try layout(pointer: pointer, [])) == [nil, nil, nil])
        let layout = try layout(pointer: 0x40, [(0x40, Self.powerManagement, pointer)])
        #expect(known(layout) == [0x44, nil, nil])
    }

    @Test func circlesEnd() throws {
        let own = try layout(pointer: 0x40, [(0x40, Self.powerManagement, 0x40)])
        #expect(known(own) == [0x44, nil, nil])
        let both = try layout(pointer: 0x40, [(0x40, Self.express, 0x50), (0x50, Self.advancedFeatures, 0x40)])
        #expect(known(both) == [nil, 0x48, 0x54])
    }

    @Test func theLongestListIsWalkedToItsEnd() throws {
        // 48 capabilities of four bytes fill the space behind the header.
        var capabilities = stride(from: 0x40, to: 0xfc, by: 4).map {
            (offset: UInt8($0), id: Self.vendorSpecific, next: UInt8($0 + 4))
        }
        capabilities.append((offset: 0xfc, id: Self.vendorSpecific, next: 0))
        capabilities[46].id = Self.powerManagement
        #expect(capabilities.count == 48)
        #expect(try layout(pointer: 0x40, capabilities).powerControl == 0xfc)
    }

    @Test func aDeviceThatIsGoneHasNoLayout() throws {
        let layout = try ConfigLayout(ConfigDecoderTests.ConfigBytes(filledWith: 0xff))
        #expect(known(layout) == [nil, nil, nil])
    }

    @Test func aCapabilityWhoseRegistersAreBehindTheEndIsNone() throws {
        // Its control register would be at 0x100, and each later look at the device's memory state would fail there.
        let layouts = [
            try layout(pointer: 0xfc, [(0xfc, Self.powerManagement, 0)]),
            try layout(pointer: 0xf8, [(0xf8, Self.express, 0)]),
            try layout(pointer: 0xfc, [(0xfc, Self.advancedFeatures, 0)]),
        ]
        for layout in layouts { #expect(known(layout) == [nil, nil, nil]) }
    }

    @Test func anErrorOfTheReadIsPassedOn() {
        // No room for the list.
        var config = ConfigDecoderTests.ConfigBytes(count: 64, first: 0x40)
        config.set(6, 0x10)
        #expect(throws: VFIOError.self) { _ = try ConfigLayout(config) }
    }

    // MARK: What revokes

    private static let full: ConfigLayout = {
        var layout = ConfigLayout()
        layout.powerControl = 0x44
        layout.expressControl = 0x68
        layout.advancedControl = 0xf4
        return layout
    }()

    /// One register whose bits make the kernel revoke.
    struct Trigger: CustomTestStringConvertible, Sendable {
        var testDescription: String
        /// The byte that holds the bits.
        var position: UInt64
        var revoking: UInt8
        var harmless: UInt8
    }

    static let triggers = [
        Trigger(testDescription: "memory decode off", position: 0x04, revoking: 0xfd, harmless: 0x02),
        Trigger(testDescription: "D3hot", position: 0x44, revoking: 0x03, harmless: 0xfe),
        Trigger(testDescription: "FLR by PCI Express", position: 0x69, revoking: 0x80, harmless: 0x7f),
        Trigger(testDescription: "FLR by Advanced Features", position: 0xf4, revoking: 0x01, harmless: 0xfe),
    ]

    @Test(arguments: triggers, [1, 2, 4])
    func everyWriteThatCoversTheByteRevokes(_ trigger: Trigger, width: Int) {
        for distance in 0..<UInt64(width) {
            let offset = trigger.position - distance
            // All other bytes are such that their registers, if any, stay harmless.
            var bytes = (0..<width).map { index in
                Self.triggers.first { $0.position == offset + UInt64(index) }?.harmless ?? 0
            }
            #expect(!Self.full.revokes(bytes, at: offset))
            #expect(Self.full.concernsMemory(width, at: offset))
            bytes[Int(distance)] = trigger.revoking
            #expect(Self.full.revokes(bytes, at: offset), "at \(offset), \(width) bytes")
        }
    }

    @Test(arguments: triggers, [1, 2, 4])
    func noWriteBesideTheByteRevokes(_ trigger: Trigger, width: Int) {
        for offset in [trigger.position - UInt64(width), trigger.position + 1] {
            let bytes = [UInt8](repeating: trigger.revoking, count: width)
            let others = Self.triggers.contains { $0.position >= offset && $0.position < offset + UInt64(width) }
            guard !others else { continue }
            #expect(!Self.full.revokes(bytes, at: offset))
            #expect(!Self.full.concernsMemory(width, at: offset))
        }
    }

    @Test(arguments: 0...255 as ClosedRange<UInt8>)
    func eachValueOfEachByteIsJudgedByItsBits(_ value: UInt8) {
        let layout = Self.full
        #expect(layout.revokes([value], at: 0x04) == (value & 0x02 == 0))
        #expect(layout.revokes([value], at: 0x44) == (value & 0x03 == 0x03))
        #expect(layout.revokes([value], at: 0x69) == (value & 0x80 != 0))
        #expect(layout.revokes([value], at: 0xf4) == (value & 0x01 != 0))
        // The other bytes of the same registers hold none of these bits.
        for offset in [0x05, 0x45, 0x68, 0xf5] as [UInt64] {
            #expect(!layout.revokes([value], at: offset))
            #expect(!layout.concernsMemory(1, at: offset))
        }
    }

    @Test func aDeviceWithoutTheCapabilitiesHasOnlyItsCommandRegister() throws {
        let layout = try layout(pointer: 0, status: 0, [])
        for offset in stride(from: UInt64(0x08), to: 0x100, by: 4) {
            #expect(!layout.revokes([0xff, 0xff, 0xff, 0xff], at: offset))
            #expect(!layout.concernsMemory(4, at: offset))
        }
        #expect(layout.revokes([0, 0], at: 0x04))
    }

    @Test func noBytesRevokeNothing() {
        #expect(!Self.full.revokes([], at: 0x04))
        #expect(!Self.full.concernsMemory(0, at: 0x04))
    }

    @Test func offsetsAtTheEndOfTheSpaceRevokeNothing() {
        #expect(!Self.full.revokes([0, 0, 0, 0], at: .max - 3))
        #expect(!Self.full.concernsMemory(3, at: .max - 3))
    }
}
