/// The code of the README and of the articles, as it stands there.
@Suite struct DocumentationTests {
    private static func machine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        return machine
    }

    @Test func theTenLinesOfTheREADME() throws {
        let space = try AddressSpace(kernel: Self.machine().kernel)
        let disk = try Device(at: "0000:00:02.0", in: space)
        let gpu = try Device(at: "0000:00:04.0", in: space)

        let window = try gpu.exportDMABuf(of: .bar2, 0..<65536)
        let peer = try space.map(window)
        try gpu.reset()
        #expect(peer.state == .revoked)
        try peer.restore()
        #expect(peer.state == .live)

        let buffer = try space.allocate(byteCount: 1 << 20)
        buffer.write32(0xC0FFEE, at: 0)
        #expect(buffer.read32(at: 0) == 0xC0FFEE)
        try disk.config.updateCommand { $0.insert(.busMaster) }
        #expect(try disk.config.command().contains(.busMaster))
    }

    struct Edu: ~Copyable {
        let device: Device
        let buffer: DMABuffer
        let done: InterruptVector

        init(at address: PCIAddress, in space: AddressSpace) throws {
            let device = try Device(at: address, in: space)
            try device.config.updateCommand { $0.insert(.busMaster) }
            let buffer = try space.allocate(byteCount: 4096, placement: .addressWidth(28))
            let done = try device.interrupts(.msi).enable()
            self.device = device
            self.buffer = buffer
            self.done = done
        }
    }

    @Test func aDriverAsAType() throws {
        let machine = Self.machine()
        do {
            let edu = try Edu(at: "0000:00:02.0", in: AddressSpace(kernel: machine.kernel))
            #expect(edu.buffer.iova < 0x1000_0000)
            try edu.device.withRegisters(.bar0) { registers in registers.write32(1, at: 0x60) }
            #expect(try edu.done.wait(timeout: .seconds(5)) == 1)
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.mappings.isEmpty)
    }
}
