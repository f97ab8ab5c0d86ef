@Suite("Device models")
struct DeviceModelTests {
    /// The example of the documentation.
    struct Doorbell: MockDevice {
        let pci = MockPCIFunction(vendor: 0x1234, device: 1, bars: [0: .registers(4096)], msiVectors: 1)
        var rings: UInt64 = 0

        mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { rings }

        mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
            rings += 1
            bus.raiseMSI()
        }
    }

    @Test func aModelOfAFewLinesWorks() throws {
        let machine = MockMachine(.stock)
        machine.plug(Doorbell(), at: "0000:00:05.0")
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:05.0", group: 1)
        try driver.setCommand(device, 6)
        let event = try driver.kernel.makeEvent()
        try driver.enableMSI(device, CVFIO_PCI_MSI_IRQ_INDEX, [event])
        try driver.write(device, 0, 0x10, UInt32(1))
        #expect(try driver.read(device, 0, 0) as UInt8 == 1)
        #expect(try driver.kernel.waitUntilReadable(event, timeout: 0))
        #expect(machine.withDevice(Doorbell.self, at: "0000:00:05.0") { bell, _ in bell.rings } == 1)
        try driver.close(event, device, group, container)
    }

    @Test func eduKeepsToItsMask() throws {
        let machine = MockMachine(.stock)
        machine.plug(EduModel(), at: "0000:00:02.0")
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        try driver.setCommand(device, 6)
        try driver.transfer(device, iova: 0x7_1234_5000, 4, toMemory: true)
        #expect(machine.faults == [.write(iova: 0x234_5000, by: "0000:00:02.0")])
        machine.clearFaults()
        try driver.setCommand(device, 2)
        try driver.transfer(device, iova: 0x7_1234_5000, 4, toMemory: true)
        #expect(machine.faults.isEmpty)
        try driver.close(device, group, container)
    }

    @Test func aResetClearsTheController() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:04.0", group: 3)
        #expect(try driver.read(device, 0, 8) as UInt32 == 0x10400)
        try driver.write(device, 0, 0x14, UInt32(0x460001))
        _ = try driver.kernel.control(device, CVFIO_DEVICE_RESET, value: 0)
        #expect(try driver.read(device, 0, 0x14) as UInt32 == 0)
        try driver.close(device, group, container)
    }

    /// A device may write another one's registers: peer to peer is not only for memory.
    @Test func registersCanBeReachedByDMA() throws {
        let machine = MockMachine()
        machine.plug(EduModel(dmaMask: .max), at: "0000:00:02.0")
        machine.plug(Doorbell(), at: "0000:00:05.0")
        let driver = Driver(machine)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        let edu = try driver.openNode(0, iommufd, ioas: ioas)
        let bell = try driver.openNode(1, iommufd, ioas: ioas)
        try driver.setCommand(edu, 6)
        let buffer = try driver.export(bell, bar: 0, 0..<4096)
        try driver.mapFile(iommufd, ioas, buffer, 4096, at: 0x1000)
        try driver.transfer(edu, iova: 0x1010, 4, toMemory: true)
        #expect(machine.withDevice(Doorbell.self, at: "0000:00:05.0") { bell, _ in bell.rings } == 1)
        try driver.close(buffer, bell, edu, iommufd)
    }

    @Test func devicesBehindAPortAreResetTogether() throws {
        let machine = MockMachine(.stock)
        machine.plug(SharedMemoryModel(), at: "0000:01:00.0", group: 5)
        machine.plug(SharedMemoryModel(), at: "0000:01:00.1", group: 6)
        let driver = Driver(machine)
        let one = try driver.openLegacy("0000:01:00.0", group: 5)
        let two = try driver.openLegacy("0000:01:00.1", group: 6)
        var info = cvfio_pci_hot_reset_info(argsz: 12, flags: 0, count: 0)
        #expect(throws: Errno.noSpace) {
            try driver.control(one.device, CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info)
        }
        #expect(info.count == 2)
        func reset(_ groups: [FileDescriptor]) throws {
            let words = [UInt32(12 + 4 * groups.count), 0, UInt32(groups.count)] + groups.map { UInt32($0.rawValue) }
            try driver.control(one.device, CVFIO_DEVICE_PCI_HOT_RESET, words: words)
        }
        #expect(throws: Errno.invalidArgument) { try reset([one.group]) }
        try reset([one.group, two.group])
        try driver.close(one.device, two.device, one.group, two.group, one.container, two.container)
    }

    struct Beeper: MockDevice {
        let pci = MockPCIFunction(
            vendor: 0x1234, device: 2, bars: [0: .memory(1 << 16)],
            msix: .init(vectors: 4, bar: 0, tableOffset: 0, pendingOffset: 0x8000))
    }

    @Test func integersAreReadAndWritten() throws {
        let machine = MockMachine()
        machine.plug(SharedMemoryModel(byteCount: 1 << 16), at: "0000:00:03.0")
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: "0000:00:03.0", in: space)
        try device.config.updateCommand { $0.insert(.busMaster) }
        let buffer = try space.allocate(byteCount: 4096)
        let iova = buffer.iova
        buffer.write64(0x0102_0304_0506_0708, at: 8)
        machine.withDevice(SharedMemoryModel.self, at: "0000:00:03.0") { _, bus in
            #expect(bus.read(iova + 8, as: UInt64.self) == 0x0102_0304_0506_0708)
            #expect(bus.read(iova + 9, as: UInt32.self) == 0x0405_0607)
            #expect(bus.read(iova + 10, as: UInt16.self) == 0x0506)
            #expect(bus.read(iova + 15, as: UInt8.self) == 1)
            let isWritten = bus.write(0x1122_3344 as UInt32, to: iova + 16)
            #expect(isWritten)
            bus.writeMemory(bar: 2, at: 4, 0x5566_7788 as UInt32)
            #expect(bus.readMemory(bar: 2, at: 4, as: UInt16.self) == 0x7788)
            #expect(bus.readMemory(bar: 2, at: 6, as: UInt64.self) == 0x5566)
            // What is not there is zero, and dropped.
            #expect(bus.read(IOVA(0x7000_0000), as: UInt64.self) == 0)
            let isRefused = !bus.write(1 as UInt64, to: IOVA(0x7000_0000))
            #expect(isRefused)
        }
        #expect(buffer.read32(at: 16) == 0x1122_3344)
        #expect(machine.faults.count == 2)
    }

    @Test func messagesNeedTheBus() throws {
        let machine = PathTests.makeMachine(.stock)
        machine.plug(Beeper(), at: "0000:00:05.0", group: 9)
        let driver = Driver(machine)
        let kernel = driver.kernel
        let edu = try driver.openLegacy("0000:00:02.0", group: 1)
        let beeper = try driver.openLegacy("0000:00:05.0", group: 9)
        let (message, vector) = (try kernel.makeEvent(), try kernel.makeEvent())
        try driver.enableMSI(edu.device, CVFIO_PCI_MSI_IRQ_INDEX, [message])
        try driver.enableMSI(beeper.device, CVFIO_PCI_MSIX_IRQ_INDEX, [vector])
        for isMaster in [false, true] {
            try driver.setCommand(edu.device, isMaster ? 6 : 2)
            try driver.setCommand(beeper.device, isMaster ? 6 : 2)
            // What was lost is not made up for, so nothing is waiting yet.
            #expect(try !kernel.waitUntilReadable(message, timeout: 0))
            #expect(try !kernel.waitUntilReadable(vector, timeout: 0))
            try driver.write(edu.device, 0, 0x60, UInt32(1))
            machine.withDevice(Beeper.self, at: "0000:00:05.0") { _, bus in bus.raiseMSIX(vector: 0) }
            #expect(try driver.read(edu.device, 0, 0x24) as UInt32 == 1)
            #expect(try kernel.waitUntilReadable(message, timeout: 0) == isMaster)
            #expect(try kernel.waitUntilReadable(vector, timeout: 0) == isMaster)
        }
        try driver.close(message, vector, edu.device, edu.group, edu.container)
        try driver.close(beeper.device, beeper.group, beeper.container)
    }

    @Test func thePinDoesNotNeedTheBus() throws {
        let driver = Driver(PathTests.makeMachine(.stock))
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        let event = try driver.kernel.makeEvent()
        try driver.setCommand(device, 2)
        try driver.enableMSI(device, CVFIO_PCI_INTX_IRQ_INDEX, [event])
        // A factorial that is to interrupt.
        try driver.write(device, 0, 0x20, UInt32(0x80))
        try driver.write(device, 0, 8, UInt32(5))
        #expect(try driver.kernel.waitUntilReadable(event, timeout: 0))
        let status: UInt16 = try driver.read(device, 7, 6)
        #expect(status & 8 != 0)
        try driver.close(event, device, group, container)
    }

    /// What QEMU's edu answers through a mapped BAR, on 6.1 as on 7.3.
    @Test(arguments: [MockRelease.stock, .linux6_1])
    func eduTakesItsWideRegistersWhole(_ release: MockRelease) throws {
        let driver = Driver(PathTests.makeMachine(release))
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        try driver.write(device, 0, 0x80, UInt64(0x1122_3344_5566_7788))
        #expect(try driver.read(device, 0, 0x80) as UInt64 == 0x1122_3344_5566_7788)
        #expect(try driver.read(device, 0, 0x80) as UInt32 == 0x5566_7788)
        #expect(try driver.read(device, 0, 0x84) as UInt32 == 0xffff_ffff)
        try driver.write(device, 0, 0x84, UInt32(0xaaaa_aaaa))
        #expect(try driver.read(device, 0, 0x80) as UInt64 == 0x1122_3344_5566_7788)
        try driver.write(device, 0, 0x80, UInt32(0xbbbb_bbbb))
        #expect(try driver.read(device, 0, 0x80) as UInt64 == 0xbbbb_bbbb)
        try driver.close(device, group, container)
    }
}
