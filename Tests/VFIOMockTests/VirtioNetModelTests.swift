/// The network card of virtio, by its registers.
@Suite("The model of a virtio network card")
struct VirtioNetModelTests {
    static let address: PCIAddress = "0000:03:00.0"

    private func withCard(
        _ model: VirtioNetModel = VirtioNetModel(),
        _ body: (MockMachine, borrowing Device, borrowing RegisterBank) throws -> Void
    ) throws {
        let machine = MockMachine()
        machine.plug(model, at: Self.address)
        do {
            let device = try Device(at: Self.address, in: AddressSpace(kernel: machine.kernel))
            try device.config.updateCommand { $0.insert(.busMaster) }
            let bank = try device.makeRegisterBank(of: .bar4)
            try body(machine, device, bank)
        }
        #expect(machine.openFiles.isEmpty)
    }

    @Test func capabilitiesSayWhereTheStructuresAre() throws {
        try withCard { _, device, _ in
            let found = try device.config.vendorCapabilities().map { Array($0.bytes[2...]) }
            #expect(
                found == [
                    [16, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0],
                    [16, 3, 4, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0],
                    [16, 4, 4, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x10, 0, 0],
                    [20, 2, 4, 0, 0, 0, 0, 0x30, 0, 0, 0, 0x10, 0, 0, 4, 0, 0, 0],
                ])
            // They are not in the way of the others.
            #expect(try device.config.msix()?.vectorCount == 4)
            #expect(try device.config.powerManagement() != nil)
            #expect(try device.config.pciExpress() != nil)
        }
    }

    @Test func featuresAreAgreedOnInHalves() throws {
        try withCard { machine, _, bank in
            #expect(bank.read32(at: 0x04) == 0x1_0020)
            bank.write32(1, at: 0x00)
            #expect(bank.read32(at: 0x04) == 3)
            bank.write32(2, at: 0x00)
            #expect(bank.read32(at: 0x04) == 0)
            // Without VERSION_1 it does not agree.
            bank.write8(3, at: 0x14)
            bank.write32(0x20, at: 0x0c)
            bank.write8(11, at: 0x14)
            #expect(bank.read8(at: 0x14) == 3)
            bank.write32(1, at: 0x08)
            bank.write32(1, at: 0x0c)
            bank.write8(11, at: 0x14)
            #expect(bank.read8(at: 0x14) == 11)
            #expect(
                machine.withDevice(VirtioNetModel.self, at: Self.address) { card, _ in card.acceptedFeatures }
                    == 0x1_0000_0020)
            bank.write8(0, at: 0x14)
            #expect(bank.read8(at: 0x14) == 0)
            #expect(machine.withDevice(VirtioNetModel.self, at: Self.address) { card, _ in card.acceptedFeatures } == 0)
        }
    }

    @Test func registersOfQueuesAreThoseOfTheSelectedOne() throws {
        try withCard { _, _, bank in
            #expect(bank.read16(at: 0x12) == 2)
            #expect(bank.read16(at: 0x18) == 256)
            bank.write16(1, at: 0x16)
            #expect(bank.read16(at: 0x1e) == 1)
            bank.write16(64, at: 0x18)
            bank.write32(0x1000, at: 0x20)
            bank.write32(0x2, at: 0x24)
            bank.write16(3, at: 0x1a)
            #expect(bank.read16(at: 0x1a) == 3)
            // It has four vectors.
            bank.write16(4, at: 0x1a)
            #expect(bank.read16(at: 0x1a) == 0xffff)
            bank.write16(0, at: 0x16)
            #expect(bank.read16(at: 0x18) == 256 && bank.read32(at: 0x20) == 0)
            bank.write16(1, at: 0x16)
            #expect(bank.read16(at: 0x18) == 64 && bank.read32(at: 0x20) == 0x1000 && bank.read32(at: 0x24) == 2)
            bank.write16(2, at: 0x16)
            #expect(bank.read16(at: 0x18) == 0)
        }
    }

    @Test func deviceConfigurationHasTheAddress() throws {
        try withCard { _, _, bank in
            #expect((0..<6).map { bank.read8(at: 0x2000 + $0) } == [0x52, 0x54, 0, 0, 0, 7])
            #expect(bank.read16(at: 0x2006) == 1)
        }
    }

    @Test func pinIsLoweredByReadingWhatInterrupted() throws {
        try withCard { machine, device, bank in
            let pin = try device.interrupts(.intx).enable()
            machine.withDevice(VirtioNetModel.self, at: Self.address) { card, bus in card.fail(bus: bus) }
            #expect(try pin.poll() == 1)
            #expect(bank.read8(at: 0x14) == 64)
            #expect(bank.read8(at: 0x1000) == 2)
            #expect(bank.read8(at: 0x1000) == 0)
            try pin.unmask()
            #expect(try pin.poll() == nil)
            try pin.close()
        }
    }

    @Test func framesWaitUntilThereIsADriver() throws {
        try withCard(VirtioNetModel(network: .collected)) { machine, device, _ in
            machine.withDevice(VirtioNetModel.self, at: Self.address) { card, bus in
                card.deliver([[UInt8]](repeating: [1], count: 2000), bus: bus)
            }
            #expect(
                machine.withDevice(VirtioNetModel.self, at: Self.address) { card, _ in card.waitingFrameCount } == 1024)
            try device.reset()
            #expect(
                machine.withDevice(VirtioNetModel.self, at: Self.address) { card, _ in card.waitingFrameCount } == 0)
        }
    }

    @Test func ringsAtTheEndOfTheAddressesAreHarmless() throws {
        try withCard { machine, device, bank in
            for queue in [0, 1] as [UInt16] {
                bank.write16(queue, at: 0x16)
                // No power of two.
                bank.write16(100, at: 0x18)
                #expect(bank.read16(at: 0x18) == 256)
                for offset in stride(from: 0x20, to: 0x38, by: 4) { bank.write32(0xffff_ffff, at: offset) }
                bank.write16(1, at: 0x1c)
            }
            bank.write8(7, at: 0x14)
            bank.write16(0, at: 0x3000)
            bank.write16(1, at: 0x3004)
            #expect(bank.read8(at: 0x14) == 7)
        }
    }

    @Test func partThatIsTooLongIsCutOff() throws {
        try withCard(VirtioNetModel(network: .collected)) { machine, device, bank in
            let memory = try device.space.allocate(byteCount: 1 << 20)
            let start = memory.iova.rawValue
            // One descriptor of 4 GiB, all but a byte; its number in the available ring, and one entry there.
            memory.write64(start + 4096, at: 0)
            memory.write32(.max, at: 8)
            memory.write16(1, at: 0x402)
            bank.write16(1, at: 0x16)
            for (offset, place) in [(0x20, 0), (0x28, 0x400), (0x30, 0x800)] as [(Int, UInt64)] {
                bank.write32(UInt32(truncatingIfNeeded: start + place), at: offset)
                bank.write32(UInt32((start + place) >> 32), at: offset + 4)
            }
            bank.write16(1, at: 0x1c)
            bank.write8(15, at: 0x14)
            bank.write16(1, at: 0x3004)
            let frames = machine.withDevice(VirtioNetModel.self, at: Self.address) { card, _ in card.takeSentFrames() }
            #expect(frames.map(\.count) == [65536])
            #expect(memory.read16(at: 0x802) == 1)
            try memory.close()
        }
    }
}
