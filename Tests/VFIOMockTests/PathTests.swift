@Suite("The two ways to a device")
struct PathTests {
    static func makeMachine(_ release: MockRelease = .iommufd) -> MockMachine {
        let machine = MockMachine(release)
        machine.plug(EduModel(dmaMask: .max), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        return machine
    }

    @Test(arguments: [MockRelease.iommufd, .stock, .linux6_1])
    func legacy(release: MockRelease) throws {
        let machine = Self.makeMachine(release)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        #expect(try driver.read(device, 0, 0) as UInt32 == 0x0100_00ed)
        try driver.setCommand(device, 6)
        let memory = try driver.allocate(8192)
        try driver.map(container, memory.baseAddress!, 8192, at: 0x10_0000)
        #expect(machine.pinnedByteCount == 8192)
        memory[0] = 0x5a
        let event = try driver.kernel.makeEvent()
        try driver.enableMSI(device, CVFIO_PCI_MSI_IRQ_INDEX, [event])
        try driver.transfer(device, iova: 0x10_0000, 4, toMemory: false)
        try driver.transfer(device, iova: 0x10_1000, 4, toMemory: true, interrupt: true)
        #expect(memory[4096] == 0x5a)
        #expect(try driver.kernel.waitUntilReadable(event, timeout: 0))
        #expect(machine.faults.isEmpty)
        try driver.transfer(device, iova: 0x20_0010, 4, toMemory: false)
        #expect(machine.faults == [.read(iova: 0x20_0000, by: "0000:00:02.0")])
        #expect(
            machine.mappings == [
                .init(iova: 0x10_0000, byteCount: 8192, isReadable: true, isWritable: true, target: .memory)
            ])
        try driver.close(device, group, container, event)
        try driver.kernel.unmap(memory)
        #expect(machine.openFiles.isEmpty)
        #expect(machine.pinnedByteCount == 0)
    }

    @Test func whatIsRevokedIsShownAsRevoked() throws {
        let machine = Self.makeMachine()
        let driver = Driver(machine)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        let peer = try driver.openNode(1, iommufd, ioas: ioas)
        let buffer = try driver.export(peer, bar: 2, 0..<8192)
        try driver.mapFile(iommufd, ioas, buffer, 8192, at: 0x40_0000)
        try driver.setCommand(peer, 4)
        #expect(machine.mappings.map(\.target) == [.revoked])
        // Also when the device is gone.
        try driver.close(peer)
        #expect(machine.mappings.map(\.target) == [.revoked])
        try driver.close(buffer, iommufd)
        #expect(machine.openFiles.isEmpty)
    }

    @Test func bufferOfAPeerThroughAContainerIsAHazard() throws {
        let machine = Self.makeMachine(.stock)
        let driver = Driver(machine)
        let one = try driver.openLegacy("0000:00:02.0", group: 1)
        let two = try driver.openLegacy("0000:00:03.0", group: 2)
        try driver.setCommand(one.device, 6)
        let window = try driver.mapBAR(two.device, 2, 4096)
        window[0] = 77
        try driver.map(one.container, window.baseAddress!, 4096, at: 0x10_0000)
        #expect(machine.mappings.first?.target == .bar(2, of: "0000:00:03.0"))
        try driver.kernel.unmap(window)
        try driver.close(two.device, two.group, two.container)
        try driver.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", Array("0000:00:03.0".utf8))
        try driver.transfer(one.device, iova: 0x10_0000, 1, toMemory: false)
        #expect(machine.withDevice(EduModel.self, at: "0000:00:02.0") { edu, _ in edu.buffer[0] } == 77)
        #expect(machine.faults.isEmpty)
        try driver.close(one.device, one.group, one.container)
    }
}
