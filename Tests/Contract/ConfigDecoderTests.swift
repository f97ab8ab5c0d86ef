@testable import VFIO

/// What config space says, in words.
extension Contract.ConfigDecoderTests {
    @Test("the header says who the device is", arguments: Scenario.all)
    func header(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let nvme = try Device(at: bench.nvme, in: space)
        try nvme.read { config in
            #expect(try config.vendorID() == 0x1b36)
            #expect(try config.deviceID() == 0x0010)
            #expect(try config.classCode() == 0x010802)
            #expect(try config.headerType() == 0)
            #expect(try config.isMultifunction() == false)
            #expect(try config.interruptPin() == 1)
            #expect(try config.subsystemVendorID() == 0x1af4)
            let bar = try config.baseAddress(0)
            #expect(bar.is64Bit && !bar.isIO)
            #expect(try config.byteCount() == 4096)
        }
        let edu = try Device(at: bench.edu, in: space)
        try edu.read { config in
            #expect(try config.vendorID() == 0x1234)
            #expect(try config.classCode() == 0x00ff00)
            #expect(try config.revisionID() == 0x10)
            let bar = try config.baseAddress(0)
            #expect(!bar.is64Bit && !bar.isIO && !bar.isPrefetchable)
            #expect(try config.byteCount() == 256)
            #expect(try config.extendedCapabilities().isEmpty)
        }
        try closeAll(edu, nvme)
    }

    @Test("power management follows the state", arguments: Scenario.all)
    func power(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let nvme = try Device(at: bench.nvme, in: bench.makeSpace())
        let power = try #require(try nvme.read { try $0.powerManagement() })
        #expect(power.version == 3)
        #expect(!power.supportsD1 && !power.supportsD2)
        #expect(power.state == 0)
        try nvme.setPowerState(3)
        #expect(try nvme.read { try $0.powerManagement()?.state } == 3)
        try nvme.setPowerState(0)
        #expect(try nvme.read { try $0.powerManagement()?.state } == 0)
        try nvme.close()
    }

    @Test("MSI-X and its table", arguments: Scenario.all)
    func msix(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let nvme = try Device(at: bench.nvme, in: bench.makeSpace())
        let off = try #require(try nvme.read { try $0.msix() })
        #expect(off.vectorCount == 65)
        #expect(off.table.bar == 0 && off.table.offset == 0x2000)
        #expect(off.tableRange == 0x2000..<0x2410)
        #expect(off.pendingBits.bar == 0 && off.pendingBits.offset == 0x3000)
        #expect(!off.isEnabled && !off.isMasked)
        let vector = try nvme.enable(.msix, vector: 64)
        #expect(try nvme.read { try $0.msix()?.isEnabled } == true)
        try vector.close()
        #expect(try nvme.read { try $0.msi() } == nil)
        try nvme.close()
    }

    @Test("MSI, whose switch is the guest's", arguments: Scenario.all)
    func msi(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try Device(at: bench.edu, in: bench.makeSpace())
        let msi = try #require(try edu.read { try $0.msi() })
        #expect(msi.vectorCount == 1 && msi.enabledVectorCount == 1)
        #expect(msi.is64Bit && !msi.hasMask && !msi.isEnabled)
        let vector = try edu.enable(.msi)
        #expect(try edu.read { try $0.msi()?.isEnabled } == false)
        try vector.close()
        #expect(try edu.read { try $0.msix() } == nil)
        #expect(try edu.read { try $0.pciExpress() } == nil)
        #expect(try edu.read { try $0.powerManagement() } == nil)
        try edu.close()
    }

    @Test("PCI Express, with FLR", arguments: Scenario.all)
    func express(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let nvme = try Device(at: bench.nvme, in: bench.makeSpace())
        let express = try #require(try nvme.read { try $0.pciExpress() })
        #expect(express.version == 2)
        // An endpoint that is integrated in the root complex.
        #expect(express.portType == 9)
        #expect(express.supportsFLR)
        #expect(express.payload == 128)
        #expect(try nvme.read { try $0.singleRootIOV() } == nil)
        #expect(try nvme.read { try $0.resizableBARs() } == nil)
        try nvme.close()
    }

    @Test("the device's regions, and what it says of atomic operations", arguments: Scenario.all)
    func regions(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let nvme = try Device(at: bench.nvme, in: space)
        #expect(try nvme.regions().map(\.index) == [.bar0, .bar2, .config])
        #expect(nvme.info.zpci == nil)
        // On the root complex there is no root port that would complete them.
        #expect(nvme.info.atomicCompletions == [])
        expectRefusal(.unsupported) { _ = try nvme.takePendingZPCIError() }
        let memory = try Device(at: bench.memory, in: space)
        #expect(try memory.regions().map(\.index) == [.bar0, .bar2, .config])
        // Smaller than a page.
        #expect(try memory.region(.bar0).byteCount == 256)
        #expect(try memory.region(.rom).byteCount == 0)
        expectRefusal(.notFound) { _ = try memory.map(.rom) }
        expectRefusal(.notFound, .invalidArgument) { _ = try memory.region(.vga) }
        expectRefusal(.notFound) { _ = try memory.region(RegionIndex(rawValue: 9)) }
        try closeAll(memory, nvme)
    }
}
