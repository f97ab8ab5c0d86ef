import Glibc

@testable import VFIO

/// What a device is, its regions, its config space.
extension Contract.DeviceTests {
    @Test("a device says what it is [vfio-pci-device-open]", arguments: Scenario.all)
    func info(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        for (address, canReset) in [(bench.edu, false), (bench.memory, false), (bench.nvme, true)] {
            let device = try Device(at: address, in: space)
            #expect(device.address == .pci(address))
            #expect(device.space === space)
            #expect(device.info.isPCI == true)
            #expect(device.info.canReset == canReset)
            #expect(device.info.regionCount == 9)
            #expect(device.info.interruptCount == 5)
            try device.close()
        }
        expectRefusal(.notFound) { _ = try Device(at: "0000:00:15.0", in: space) }
    }

    @Test("a device that stops answering is told", arguments: Scenario.all)
    func silentLater(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.busMemory, in: bench.makeSpace())
        #expect(try device.isPresent())
        try bench.machine.setAnswering(false, at: bench.busMemory)
        let present = try device.isPresent()
        expectRefusal(.deviceGone) { _ = try device.config.classCode() }
        expectRefusal(.deviceGone) { _ = try device.config.command() }
        expectRefusal(.deviceGone) { try device.config.updateCommand { $0.insert(.memoryDecode) } }
        expectRefusal(.deviceGone) { try device.config.write16(0x0106, at: 4) }
        expectRefusal(.deviceGone) { _ = try device.map(.bar2) }
        expectRefusal(.deviceGone) { try device.withRegisters(.bar2) { _ in } }
        expectRefusal(.deviceGone) { _ = try device.makeRegisterBank(of: .bar2) }
        try bench.machine.setAnswering(true, at: bench.busMemory)
        #expect(!present)
        #expect(try device.isPresent())
        try device.setMemoryDecode(true)
        try device.withRegisters(.bar2) { registers in
            registers.write32(0xc0ffee, at: 0)
            #expect(registers.read32(at: 0) == 0xc0ffee)
        }
        try device.close()
    }

    @Test("an interface that the kernel lacks is unsupported", arguments: Scenario.all)
    func interfaces(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let chosen = try AddressSpace(kernel: bench.kernel)
        #expect(chosen.interface == (bench.offer.hasIOMMUFD ? .iommufd : .type1))
        if bench.offer.hasIOMMUFD {
            #expect(try AddressSpace(.iommufd, kernel: bench.kernel).interface == .iommufd)
        } else {
            expectRefusal(.unsupported, .noSuchFileOrDirectory) { _ = try AddressSpace(.iommufd, kernel: bench.kernel) }
        }
        #expect(try AddressSpace(.type1, kernel: bench.kernel).interface == .type1)
    }

    @Test("a device has one owner: the second is turned away", arguments: Scenario.all)
    func busy(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let other = try bench.makeSpace()
        let device = try Device(at: bench.nvme, in: space)
        expectRefusal(.busy, scenario.usesIOMMUFD ? .invalidArgument : .resourceBusy) {
            _ = try Device(at: bench.nvme, in: other)
        }
        try device.close()
        let again = try Device(at: bench.nvme, in: other)
        try again.close()
    }

    // MARK: Regions

    @Test("regions are as the devices have them [vfio_pci_device_test.validate_bars]", arguments: Scenario.all)
    func regions(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let sizes: [(PCIAddress, [UInt64])] = [
            (bench.edu, [1 << 20, 0, 0, 0, 0, 0]), (bench.memory, [256, 0, 16 << 20, 0, 0, 0]),
            (bench.nvme, [16384, 0, 4 << 20, 0, 0, 0]),
        ]
        for (address, bars) in sizes {
            let device = try Device(at: address, in: space)
            for (number, size) in bars.enumerated() {
                let region = try device.region(RegionIndex.bar(number)!)
                #expect(region.byteCount == size, "BAR \(number) of \(address)")
                #expect(region.isReadable == (size > 0))
                #expect(region.isWritable == (size > 0))
                if size == 0 { #expect(!region.isMappable && region.mappableAreas.isEmpty) }
            }
            let config = try device.region(.config)
            #expect(config.byteCount == (address == bench.nvme ? 4096 : 256))
            #expect(config.isReadable && config.isWritable && !config.isMappable)
            try device.close()
        }
    }

    @Test("memory in a BAR can be mapped, all of it or a part [vfio-pci-device-open]", arguments: Scenario.all)
    func mapping(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let region = try device.region(.bar2)
        #expect(region.mappableAreas == [0..<(16 << 20)])
        let whole = try device.map(.bar2)
        let part = try device.map(.bar2, 4096..<12288)
        #expect(whole.byteCount == 16 << 20)
        #expect(part.byteCount == 8192)
        #expect(part.offset == 4096)
        whole.fill([1, 2, 3, 4], at: 4096)
        part.expect([1, 2, 3, 4])
        part.fill([5], at: 8191)
        whole.expect([5], at: 12287)
        expectRefusal(.misaligned) { _ = try device.map(.bar2, 100..<4096) }
        expectRefusal(.outOfRange) { _ = try device.map(.bar2, 0..<(32 << 20)) }
        expectRefusal(.outOfRange) { _ = try device.map(.bar2, 4096..<4096) }
        expectRefusal(.notFound) { _ = try device.map(.bar1) }
        expectRefusal(.unsupported) { _ = try device.map(.config) }
        expectRefusal(.notFound) { _ = try device.region(RegionIndex(rawValue: 9)) }
        try closeAll(part, whole, device)
    }

    @Test("a table of MSI-X may be mapped over [vfio-pci-device-open-sparse-mmap]", arguments: Scenario.all)
    func msixMappable(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        #expect(try device.region(.bar0).isMSIXTableMappable == true)
        #expect(try device.region(.bar2).isMSIXTableMappable == false)
        #expect(try device.region(.bar0).type == nil)
        try device.close()
    }

    // MARK: Config space

    @Test("config space read and write [vfio_pci_device_test.config_space_read_write]", arguments: Scenario.all)
    func config(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let known: [(PCIAddress, vendor: UInt16, device: UInt16)] = [
            (bench.edu, 0x1234, 0x11e8), (bench.memory, 0x1af4, 0x1110), (bench.nvme, 0x1b36, 0x0010),
        ]
        for (address, vendor, number) in known {
            let device = try Device(at: address, in: space)
            #expect(try device.read { try $0.vendorID() } == vendor)
            #expect(try device.read { try $0.deviceID() } == number)
            #expect(try device.read { try $0.read32(at: 0) } == UInt32(number) << 16 | UInt32(vendor))
            #expect(try device.read { try $0.read8(at: 1) } == UInt8(vendor >> 8))
            // As sysfs tells it.
            let text = try bench.kernel.text(of: FilePath("/sys/bus/pci/devices/\(address)/vendor"))
            #expect(text == "0x\(String(vendor, radix: 16))\n")
            // Bus master is off at first; on, and off again.
            var command = try device.command()
            #expect(!command.contains(.busMaster))
            #expect(command.contains(.memoryDecode))
            try device.updateCommand { $0.insert(.busMaster) }
            command = try device.command()
            #expect(command.contains([.busMaster, .memoryDecode]))
            try device.updateCommand { $0.remove(.busMaster) }
            command = try device.command()
            #expect(!command.contains(.busMaster))
            // What cannot be written is not.
            try device.write { try $0.write16(0xffff, at: 0) }
            #expect(try device.read { try $0.vendorID() } == vendor)
            try device.close()
        }
    }

    @Test("a BAR can be sized through config space, and the device stays where it was", arguments: Scenario.all)
    func barSize(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let before = try device.read { try $0.read32(at: 0x10) }
        try device.write { try $0.write32(0xffff_ffff, at: 0x10) }
        #expect(try device.read { try $0.read32(at: 0x10) } == 0xfff0_0000)
        try device.write { try $0.write32(before, at: 0x10) }
        #expect(try device.read { try $0.read32(at: 0x10) } == before)
        let identification = try device.withRegisters(.bar0) { $0.read32(at: 0) }
        #expect(identification == 0x0100_00ed)
        try device.close()
    }

    @Test("accesses of config space off their width, or past its end, are refused", arguments: Scenario.all)
    func configRefusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        expectRefusal(.misaligned) { _ = try device.read { try $0.read16(at: 1) } }
        expectRefusal(.misaligned) { _ = try device.read { try $0.read32(at: 2) } }
        expectRefusal(.misaligned) { try device.write { try $0.write32(0, at: 5) } }
        expectRefusal(.outOfRange) { _ = try device.read { try $0.read32(at: 256) } }
        expectRefusal(.outOfRange) { try device.write { try $0.write8(0, at: 256) } }
        try device.close()
    }

    @Test("capabilities are listed in config space", arguments: Scenario.all)
    func capabilities(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let nvme = try Device(at: bench.nvme, in: space)
        let edu = try Device(at: bench.edu, in: space)
        #expect(try nvme.capability(0x10) > 0x3f)
        #expect(try nvme.capability(0x11) > 0x3f)
        #expect(try nvme.capability(0x01) > 0x3f)
        #expect(try edu.capability(0x05) > 0x3f)
        #expect(throws: Device.MissingCapability.self) { try edu.capability(0x11) }
        try closeAll(edu, nvme)
    }
}
