/// Cards whose registers cannot be right: each is refused with an error of its own, and nothing of it is left.
@Suite(.enabled(if: !Machines.isInLab, "only the mock's cards do wrong")) struct SetUpTests {
    private static let address = Machines.first

    /// A capability, as its bytes in config space are.
    private static func capability(
        _ kind: UInt8, bar: UInt8 = 4, _ offset: UInt32, _ byteCount: UInt32, doorbellStride: UInt32? = nil
    ) -> [UInt8] {
        let words = [offset, byteCount] + (doorbellStride.map { [$0] } ?? [])
        let header: [UInt8] = [UInt8(8 + words.count * 4), kind, bar, 0, 0, 0]
        return header + words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    /// The error of the set-up; `nil` when there is none.
    private func refusal(of card: WrongCard, usesInterrupts: Bool = true) throws -> String? {
        let machine = MockMachine()
        machine.plug(card, at: Self.address)
        var found: String?
        do {
            let space = try AddressSpace(kernel: machine.kernel)
            let device = try Device(at: Self.address, in: space)
            let pool = try PacketPool(in: space, count: 8)
            do throws(VirtioNetError) {
                _ = try Port(device, pool: pool, options: PortOptions(usesInterrupts: usesInterrupts))
            } catch { found = "\(error)" }
            let rings = machine.withDevice(WrongCard.self, at: Self.address) { card, _ in card.ringsAtReset }
            #expect(rings.allSatisfy { $0 }, "the rings went before the reset")
            if found?.contains("queue 1") == true, found?.contains("vector") == true { #expect(rings == [true]) }
            try pool.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.pinnedByteCount == 0)
        #expect(machine.faults.isEmpty)
        return found
    }

    @Test(
        arguments: [
            (0x12, 0, "the device has no queue 0"),
            (0x12, 1, "the device has no queue 1"),
            (0x18, 0, "the device has no queue 0"),
            (0x18, 3, "queue 0 cannot have 3 entries"),
            (0x18, 255, "queue 0 cannot have 255 entries"),
            (0x18, 65535, "queue 0 cannot have 65535 entries"),
            // Each doorbell has 4 bytes of the structure's 4096.
            (0x1e, 1024, "the device's notification structure, 4096 bytes at 0x3000 of BAR 4 cannot be right"),
            (0x1e, 0xffff, "the device's notification structure, 4096 bytes at 0x3000 of BAR 4 cannot be right"),
            (0x10, 0xffff, "the device has no interrupt vector for changes"),
            (0x1a, 0xffff, "the device has no interrupt vector for queue 0"),
        ] as [(UInt64, UInt64, String)])
    func registers(_ offset: UInt64, _ answer: UInt64, _ error: String) throws {
        var card = WrongCard()
        card.answers = [offset: answer]
        #expect(try refusal(of: card) == error)
    }

    @Test func deviceIsResetBeforeTheRingsGo() throws {
        var card = WrongCard()
        card.answers = [0x1a: 3]
        card.wrongQueue = 1
        #expect(try refusal(of: card) == "the device has no interrupt vector for queue 1")
    }

    @Test func sizesUpToTheLargest() throws {
        for size in [1, 32768] as [UInt64] {
            var card = WrongCard()
            card.answers = [0x18: size]
            #expect(try refusal(of: card) == nil)
        }
    }

    @Test func configurationThatDoesNotStopChanging() throws {
        var card = WrongCard()
        card.changesAlways = true
        #expect(try refusal(of: card) == "the device's configuration does not stop changing")
    }

    @Test(arguments: [0, 1, 2, 3])
    func structureThatIsMissing(_ number: Int) throws {
        var capabilities = VirtioNetModel.capabilities
        capabilities.remove(at: number)
        let errors = [
            // Interrupt status is INTx's, and not needed.
            "the device has no common configuration structure", nil, "the device has no device configuration structure",
            "the device has no notification structure",
        ]
        #expect(try refusal(of: WrongCard(capabilities: capabilities)) == errors[number])
    }

    @Test(
        arguments: [(0, 0), (0, 0x37), (0xffff_ffff, 0xffff_ffff), (0x3fcc, 0x38), (2, 0x100), (0, 0xffff_ffff)]
            as [(UInt32, UInt32)]) func structureThatIsNotInItsBAR(_ offset: UInt32, _ byteCount: UInt32) throws
    {
        let good = VirtioNetModel.capabilities
        let bad = Self.capability(1, offset, byteCount)
        let place = "\(byteCount) bytes at 0x\(String(offset, radix: 16)) of BAR 4"
        #expect(
            try refusal(of: WrongCard(capabilities: [bad] + good[1...]))
                == "the device's common configuration structure, \(place) cannot be right")
        // The next one of its kind is as good.
        #expect(try refusal(of: WrongCard(capabilities: [bad] + good)) == nil)
    }

    @Test func structureInNoBAR() throws {
        let good = VirtioNetModel.capabilities
        for bar in [6, 255] as [UInt8] {
            let card = WrongCard(capabilities: [Self.capability(1, bar: bar, 0, 0x38)] + good[1...])
            #expect(try refusal(of: card) == "the device has no common configuration structure")
        }
        // A BAR that the device does not have.
        let card = WrongCard(capabilities: [Self.capability(1, bar: 0, 0, 0x38)] + good[1...])
        #expect(
            try refusal(of: card)
                == "the device's common configuration structure, 56 bytes at 0x0 of BAR 0 cannot be right")
    }

    /// What Linux's driver takes: the identity of virtio 1.0, and transitional ones, whose subsystem tells the type.
    @Test(
        arguments: [
            (0x1af4, 0x1041, 0x1100, nil), (0x1af4, 0x1041, 1, nil), (0x1af4, 0x1000, 1, nil), (0x1af4, 0x103f, 1, nil),
            (0x1af4, 0x1000, 2, "the device is 1af4:1000, and no virtio network device (1af4:1041)"),
            (0x1af4, 0x1042, 1, "the device is 1af4:1042, and no virtio network device (1af4:1041)"),
            (0x1b36, 0x1000, 1, "the device is 1b36:1000, and no virtio network device (1af4:1041)"),
        ] as [(UInt16, UInt16, UInt16, String?)])
    func identity(_ vendor: UInt16, _ device: UInt16, _ subsystem: UInt16, _ error: String?) throws {
        #expect(try refusal(of: WrongCard(vendor: vendor, device: device, subsystem: subsystem)) == error)
    }

    @Test func cardWithoutTheNewInterface() throws {
        #expect(
            try refusal(of: WrongCard(capabilities: [], device: 0x1000, subsystem: 1))
                == "the device 1af4:1000 has no interface of virtio 1.0, and the earlier one does DMA past the IOMMU (in "
                + "QEMU, give it disable-legacy=on,iommu_platform=on)")
        // One with the interface, and without what the interface is for.
        for (features, error) in [
            (1 << 33, "the device lacks [VERSION_1]"),
            (
                1 << 32,
                "the device does DMA past the IOMMU (it offers no ACCESS_PLATFORM; in QEMU, give it iommu_platform=on)"
            ),
        ] as [(UInt64, String)] {
            var card = WrongCard(device: 0x1000, subsystem: 1)
            card.offeredFeatures = features
            #expect(try refusal(of: card) == error)
        }
    }

    /// Each field of the configuration is there with a feature, and the driver reads the address alone.
    @Test func configurationAsShortAsItMayBe() throws {
        var capabilities = VirtioNetModel.capabilities
        capabilities[2] = Self.capability(4, 0x2000, 6)
        #expect(try refusal(of: WrongCard(capabilities: capabilities)) == nil)
        capabilities[2] = Self.capability(4, 0x2000, 5)
        #expect(
            try refusal(of: WrongCard(capabilities: capabilities))
                == "the device's device configuration structure, 5 bytes at 0x2000 of BAR 4 cannot be right")
        capabilities.remove(at: 2)
        var card = WrongCard(capabilities: capabilities)
        card.offeredFeatures = 1 << 32 | 1 << 33
        #expect(try refusal(of: card) == nil)
    }

    @Test func doorbellsAreAlignedToTwoBytes() throws {
        var capabilities = VirtioNetModel.capabilities
        capabilities[3] = Self.capability(2, 0x3002, 0x100, doorbellStride: 4)
        #expect(try refusal(of: WrongCard(capabilities: capabilities)) == nil)
        capabilities[3] = Self.capability(2, 0x3001, 0x100, doorbellStride: 4)
        #expect(
            try refusal(of: WrongCard(capabilities: capabilities))
                == "the device's notification structure, 256 bytes at 0x3001 of BAR 4 cannot be right")
    }
}
