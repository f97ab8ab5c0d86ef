@testable import VFIO

/// Mediated devices: the kernel's sample mtty, made by its UUID.
extension Contract.MediatedDeviceTests {
    private static let one: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    private static let two: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"

    @Test("a mediated device is opened by its UUID", arguments: Scenario.all)
    func open(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one, Self.two]) {
            let space = try bench.makeSpace()
            let device = try Device(mediated: Self.one, in: space)
            let other = try Device(mediated: Self.two, in: space)
            #expect(device.address == .mediated(Self.one))
            #expect(device.address.pci == nil)
            #expect(device.info.isPCI)
            #expect(device.info.canReset == false)
            #expect(device.info.regionCount == 9)
            #expect(try device.config.read32(at: 0) == 0x3253_4348)
            #expect(try device.region(.bar0).byteCount == 8)
            #expect(try device.region(.bar0).isMappable == false)
            #expect(try device.region(.bar1).byteCount == 0)
            try closeAll(other, device)
        }
    }

    @Test("its registers are answered by the driver", arguments: Scenario.all)
    func registers(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let device = try Device(mediated: Self.one, in: try bench.makeSpace())
            try device.withRegisters(.bar0) { registers in
                for byte in Array("loop".utf8) { registers.write8(byte, at: 0) }
                #expect(registers.read8(at: 5) & 1 == 1)
                #expect((0..<4).map { _ in registers.read8(at: 0) } == Array("loop".utf8))
                #expect(registers.read8(at: 5) & 1 == 0)
            }
            try device.close()
        }
    }

    @Test("features of vfio-pci are not a mediated device's", arguments: Scenario.all)
    func features(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let device = try Device(mediated: Self.one, in: try bench.makeSpace())
            #expect(try device.supports(.dmaBuf) == false)
            #expect(try device.supports(.lowPower) == false)
            #expect(try device.supports(.migration))
            #expect(try device.supports(.dmaLogging))
            try device.close()
        }
    }

    @Test("it has one owner", arguments: Scenario.all)
    func busy(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let space = try bench.makeSpace()
            let device = try Device(mediated: Self.one, in: space)
            let other = try bench.makeSpace()
            expectRefusal(.busy, scenario.usesIOMMUFD ? .invalidArgument : .resourceBusy) {
                _ = try Device(mediated: Self.one, in: other)
            }
            try device.close()
            try Device(mediated: Self.one, in: other).close()
        }
    }

    @Test("a UUID without a device is not found, and the error names it", arguments: Scenario.all)
    func notThere(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let error = #expect(throws: VFIOError.self) { _ = try Device(mediated: Self.two, in: space) }
        #expect(error?.code == .notFound)
        #expect(error?.subject == "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002")
        #expect(error?.hint?.contains("mdev_supported_types") == true)
    }

    @Test("making one: what sysfs refuses", arguments: Scenario.all)
    func create(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard bench.offer.hasMediatedDevices else { return try bench.withSerialPorts([Self.one]) {} }
        try bench.withSerialPorts([Self.one]) {
            let create = Bench.mediatedTypes.appending("mtty-1").appending("create")
            #expect(throws: Errno.fileExists) { try bench.kernel.writeFile(create, Array("\(Self.one)".utf8)) }
            #expect(throws: Errno.invalidArgument) { try bench.kernel.writeFile(create, Array("no".utf8)) }
        }
    }

    @Test("a parent makes so many, and then no more", arguments: Scenario.all)
    func limit(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        // mtty has 24 ports.
        let all = try (10..<34).map { try #require(DeviceUUID("4d4d4d4d-4d4d-4d4d-4d4d-4d4d4d4d4d\($0)")) }
        guard bench.offer.hasMediatedDevices else { return try bench.withSerialPorts([Self.one]) {} }
        try bench.withSerialPorts(all) {
            let create = Bench.mediatedTypes.appending("mtty-1").appending("create")
            #expect(throws: Errno.noSpace) { try bench.kernel.writeFile(create, Array("\(Self.one)".utf8)) }
        }
    }

    // MARK: In a container

    @Test("mediated devices alone have no limits, until hardware joins them", arguments: Scenario.all)
    func alone(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let space = try bench.makeSpace()
            let device = try Device(mediated: Self.one, in: space)
            #expect(try space.iovaRanges() == [0...IOVA(.max)])
            if !scenario.usesIOMMUFD {
                // The kernel tells of no ranges then, and of all sizes of pages.
                let info = try space.type1Info()
                #expect(info.iovaRanges.isEmpty)
                #expect(info.pageSizes == (12..<64).map { UInt64(1) << $0 })
            }
            let buffer = try space.allocate(byteCount: 8192)
            // Beyond what the machine's IOMMU can translate.
            let high = try space.allocate(byteCount: 4096, placement: .fixed(0x2000_0000_0000))
            #expect(throws: VFIOError.self) { _ = try EduDriver(at: bench.edu, in: space) }
            try high.close()
            let edu = try EduDriver(at: bench.edu, in: space)
            #expect(try space.iovaRanges() != [0...IOVA(.max)])
            // What was mapped before is there for the newcomer.
            try edu.write([1, 2, 3, 4], at: buffer.iova + 4096, by: buffer)
            buffer.expect([1, 2, 3, 4], at: 4096)
            try closeAll(edu, buffer, device)
        }
    }

    @Test("with a mediated device no mapping gives its address up", arguments: Scenario.all)
    func addresses(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let space = try bench.makeSpace()
            let device = try Device(mediated: Self.one, in: space)
            let memory = try Memory(bench.kernel, pageCount: 1)
            let mapping = try space.map(memory.bytes)
            expectRefusal(.unsupported) { try mapping.invalidateVaddr() }
            if !scenario.usesIOMMUFD {
                #expect(try space.supports(.updateVaddr) == false)
                let container = try space.requireContainer(for: "test")
                #expect(throws: Errno.resourceBusy) {
                    _ = try ABI.unmapDMA(mapping.iova.rawValue, byteCount: 4096, isAddressOnly: true).perform(
                        on: container)
                }
            }
            try closeAll(mapping, memory, device)
        }
    }

    // MARK: Interrupts

    /// The registers of a serial port, and their bits.
    private enum Port {
        static let data = 0
        static let interruptEnable = 1
        static let identification = 2
        static let fifoControl = 2
        static let received: UInt8 = 1
        static let empty: UInt8 = 2
    }

    private func write(_ value: UInt8, at offset: Int, of device: borrowing Device) throws {
        try device.withRegisters(.bar0) { $0.write8(value, at: offset) }
    }

    @Test("INTx of a mediated device comes once, and is masked until it is unmasked", arguments: Scenario.all)
    func intx(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let device = try Device(mediated: Self.one, in: try bench.makeSpace())
            do {
                let interrupts = try device.interrupts(.intx)
                #expect(interrupts.count == 1)
                #expect(interrupts.isMaskable)
                #expect(interrupts.isAutomasked)
            }
            let line = try device.enable(.intx)
            // Nothing waits to be sent.
            try write(Port.empty, at: Port.interruptEnable, of: device)
            #expect(try line.wait(timeout: .seconds(10)) == 1)
            try write(Port.empty, at: Port.interruptEnable, of: device)
            #expect(try line.wait(timeout: .milliseconds(50)) == nil)
            // One that came while it was masked is lost: no level stays up.
            try line.unmask()
            #expect(try line.wait(timeout: .milliseconds(50)) == nil)
            try write(Port.empty, at: Port.interruptEnable, of: device)
            #expect(try line.wait(timeout: .seconds(10)) == 1)
            try line.unmask()
            // A byte comes back.
            try write(1, at: Port.fifoControl, of: device)
            try write(Port.received, at: Port.interruptEnable, of: device)
            try write(65, at: Port.data, of: device)
            #expect(try line.wait(timeout: .seconds(10)) == 1)
            try device.withRegisters(.bar0) { registers in
                #expect(registers.read8(at: Port.identification) == 0xc4)
                #expect(registers.read8(at: Port.data) == 65)
                #expect(registers.read8(at: Port.identification) == 0xc1)
            }
            try line.unmask()
            try line.mask()
            try line.trigger()
            #expect(try line.wait(timeout: .milliseconds(50)) == nil)
            try line.unmask()
            try line.trigger()
            #expect(try line.wait(timeout: .seconds(10)) == 1)
            // Its driver takes no event for that.
            let error = #expect(throws: VFIOError.self) { try line.withUnmaskEvent { _ in } }
            #expect(error?.errno == .inappropriateIOCTLForDevice)
            try closeAll(line, device)
        }
    }

    @Test("MSI of a mediated device needs no bus master", arguments: Scenario.all)
    func msi(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let device = try Device(mediated: Self.one, in: try bench.makeSpace())
            #expect(try device.command().contains(.busMaster) == false)
            let vector = try device.enable(.msi)
            expectRefusal(.busy) { _ = try device.enable(.intx) }
            try device.withRegisters(.bar0) { registers in
                registers.write8(Port.empty, at: Port.interruptEnable)
                registers.write8(Port.empty, at: Port.interruptEnable)
            }
            #expect(try vector.wait(timeout: .seconds(10)) == 2)
            try vector.close()
            for index in [InterruptIndex.msix, .error, .request] {
                expectRefusal(.notFound, .invalidArgument) { _ = try device.interrupts(index) }
                expectErrno(.inappropriateIOCTLForDevice) {
                    try bench.kernel.setInterrupts(device.core.descriptor, index, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 1)
                }
            }
            try device.close()
        }
    }
}
