@testable import VFIO

extension Offer {
    /// A bus is reset with the virtual functions on it (until the kernel gave each of those a set of its own).
    var resetsVirtualFunctionsWithBus: Bool { name == "6.1" || name == "6.12" }
}

/// A device that has others within it (SR-IOV), and what those are like.
extension Contract.VirtualFunctionTests {
    private static let token = VFToken("52ac9bff-3a88-4fbd-901a-0d767c3b6c97")!
    /// The controller status register: of a virtual function that was given no queues, the one that is not zero.
    private static let status = 0x1c
    private static let offline: UInt32 = 2

    @Test("they come and go all together, where vfio-pci is told to allow it", arguments: Scenario.all)
    func number(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        bench.expectNoVirtualFunctions("1", .noSuchFileOrDirectory)
        try bench.allowingVirtualFunctions {
            bench.expectNoVirtualFunctions("some", .invalidArgument)
            bench.expectNoVirtualFunctions("5", .outOfRange)
            try bench.setVirtualFunctions("3")
            try bench.setVirtualFunctions("3")
            bench.expectNoVirtualFunctions("2", .resourceBusy)
            let folder = FilePath("/sys/bus/pci/devices/\(bench.physicalFunction)")
            let names = try bench.kernel.names(in: folder)
            #expect(names.filter { $0.hasPrefix("virtfn") }.sorted() == ["virtfn0", "virtfn1", "virtfn2"])
            #expect(try bench.kernel.text(of: folder.appending("sriov_totalvfs")) == "4\n")
            #expect(try bench.kernel.text(of: folder.appending("sriov_numvfs")) == "3\n")
            try bench.setVirtualFunctions("0")
            expectRefusal(.notFound) { _ = try Device(at: "0000:02:00.1", in: bench.makeSpace()) }
        }
    }

    @Test("what the capabilities of a physical function say", arguments: Scenario.all)
    func capabilities(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let device = try Device(at: bench.physicalFunction, in: bench.makeSpace())
            #expect(try bench.makeVirtualFunctions(2) == ["0000:02:00.1", "0000:02:00.2"])
            let iov = try #require(try device.read { try $0.singleRootIOV() })
            #expect(iov.isEnabled)
            #expect(iov.totalVirtualFunctions == 4 && iov.virtualFunctions == 2)
            #expect(iov.firstOffset == 1 && iov.stride == 1)
            #expect(iov.virtualDeviceID == 0x0010)
            let extended = try device.read { try $0.extendedCapabilities() }
            #expect(extended.map(\.id.rawValue) == [0x0e, 0x10])
            // An endpoint behind a port, with a link.
            let express = try #require(try device.read { try $0.pciExpress() })
            #expect(express.portType == 0 && express.supportsFLR)
            #expect(express.linkSpeed == 1 && express.linkWidth == 1)
            #expect(try device.interruptCount(.msix) == 11)
            try bench.setVirtualFunctions("0")
            #expect(try device.read { try $0.singleRootIOV()?.isEnabled } == false)
            try device.close()
        }
    }

    @Test("address translation services of an endpoint", arguments: Scenario.all)
    func translation(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let net = try Device(at: bench.net, in: bench.makeSpace())
        let services = try #require(try net.read { try $0.addressTranslation() })
        #expect(!services.isEnabled)
        #expect(services.invalidationQueueDepth == 32)
        #expect(services.translationUnit == 4096)
        let express = try #require(try net.read { try $0.pciExpress() })
        #expect(express.portType == 0)
        try net.close()
    }

    @Test("what a virtual function is like", arguments: Scenario.all)
    func virtual(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(1, token: Self.token) { functions in
            let device = try Device(at: functions[0], in: bench.makeSpace(), token: Self.token)
            #expect(device.info.canReset)
            #expect(try device.regions().map(\.index) == [.bar0, .config])
            #expect(try device.region(.bar0).byteCount == 16384)
            #expect(try device.interruptCount(.intx) == 0)
            #expect(try device.interruptCount(.msi) == 0)
            #expect(try device.interruptCount(.msix) == 1)
            // The hardware says 0xffff: the kernel fills in what the physical function says.
            #expect(try device.read { try $0.vendorID() } == 0x1b36)
            #expect(try device.read { try $0.deviceID() } == 0x0010)
            #expect(try device.read { try $0.interruptPin() } == 0)
            #expect(try device.read { try $0.singleRootIOV() } == nil)
            let vector = try device.enable(.msix)
            try closeAll(vector, device)
        }
    }

    @Test("its memory decode is the physical function's", arguments: Scenario.all)
    func memoryDecode(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(1, token: Self.token) { functions in
            let device = try Device(at: functions[0], in: bench.makeSpace(), token: Self.token)
            #expect(try device.command().contains(.memoryDecode))
            #expect(try device.withRegisters(.bar0) { $0.read32(at: Self.status) } == Self.offline)
            // The bit of its command register is none to the kernel, which takes no mapping away and refuses no
            // access. (What is read then is the device's affair: QEMU's virtual functions do heed the bit.)
            try device.setMemoryDecode(false)
            #expect(try device.command().contains(.memoryDecode) == false)
            _ = try device.withRegisters(.bar0) { $0.read32(at: Self.status) }
            let mapped = try device.map(.bar0, 0..<4096)
            _ = mapped.read32(at: Self.status)
            let region = try device.region(.bar0)
            var word: UInt32 = 0
            try withUnsafeMutableBytes(of: &word) { bytes in
                _ = try bench.kernel.read(device.core.descriptor, at: region.offset, into: bytes)
            }
            try device.setMemoryDecode(true)
            #expect(mapped.read32(at: Self.status) == Self.offline)
            try mapped.close()
            try device.reset()
            #expect(try device.withRegisters(.bar0) { $0.read32(at: Self.status) } == Self.offline)
            // Its power is its own.
            try device.setPowerState(3)
            expectRefusal(.memoryDecodeOff) { try device.withRegisters(.bar0) { _ = $0.read32(at: Self.status) } }
            try device.setPowerState(0)
            #expect(try device.withRegisters(.bar0) { $0.read32(at: Self.status) } == Self.offline)
            try device.close()
        }
    }

    @Test("a window on its memory is revoked like any other", arguments: Scenario.all)
    func window(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        try bench.withVirtualFunctions(1, token: Self.token) { functions in
            let space = try bench.makeSpace()
            let device = try Device(at: functions[0], in: space, token: Self.token)
            let edu = try EduDriver(at: bench.edu, in: space)
            let landing = try space.allocate(byteCount: 4096)
            let window = try device.exportDMABuf(of: .bar0, 0..<4096)
            let peer = try space.map(window)
            let offline: [UInt8] = [0x02, 0x00, 0x00, 0x00]
            #expect(try edu.bytes(4, at: peer.iova + UInt64(Self.status), by: landing) == offline)
            // Memory decode that seems to be switched off is an occasion for the kernel to revoke, and no more.
            try device.setMemoryDecode(false)
            #expect(window.state == .live)
            #expect(peer.state == .revoked)
            try bench.expectFault(.read, at: peer.iova, by: bench.edu) {
                _ = try edu.bytes(4, at: peer.iova, by: landing)
            }
            try peer.restore()
            try device.setMemoryDecode(true)
            #expect(peer.state == .live)
            #expect(try edu.bytes(4, at: peer.iova + UInt64(Self.status), by: landing) == offline)
            try device.reset()
            #expect(peer.state == .revoked)
            try peer.restore()
            #expect(try edu.bytes(4, at: peer.iova + UInt64(Self.status), by: landing) == offline)
            try closeAll(peer, window, landing, edu, device)
        }
    }

    @Test("a hot reset, alone and with virtual functions", arguments: Scenario.all)
    func hotReset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let space = try bench.makeSpace()
            let device = try Device(at: bench.physicalFunction, in: space, token: Self.token)
            #expect(try device.hotResetInfo().functions.map(\.address) == [bench.physicalFunction])
            try device.hotReset()
            #expect(try device.withRegisters(.bar0) { $0.read32(at: 8) } == 0x0001_0400)
            let functions = try bench.makeVirtualFunctions(1)
            let all = [bench.physicalFunction] + functions
            #expect(try device.hotResetInfo().functions.map(\.address) == all)
            // Nobody has the virtual function open.
            expectRefusal(.busy) { try device.hotReset() }
            let virtual = try Device(at: functions[0], in: space, token: Self.token)
            let info = try virtual.hotResetInfo()
            #expect(info.functions.map(\.address) == all)
            if scenario.usesIOMMUFD {
                // Each is asked for alone, and knows nothing of the other.
                #expect(info.isOwned == false)
                #expect(info.functions[0].owner == .other)
                expectNoHotReset(nil) { try device.hotReset() }
                expectNoHotReset(nil) { try virtual.hotReset() }
            } else if !bench.offer.resetsVirtualFunctionsWithBus {
                // Older kernels would reset them all, after which QEMU's virtual functions are gone for good.
                expectNoHotReset(.invalidArgument) { try device.hotReset() }
                expectNoHotReset(.invalidArgument) { try virtual.hotReset() }
            }
            try virtual.close()
            try bench.setVirtualFunctions("0")
            try device.close()
        }
    }

    private func expectNoHotReset(
        _ errno: Errno?, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) {
        let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation) { try body() }
        #expect(error?.code == .busy && error?.errno == errno, sourceLocation: sourceLocation)
        #expect(
            error?.hint
                == "0000:02:00.1 is a virtual function, with which Linux resets no bus; it has to be taken away "
                + "first (sriov_numvfs), or reset() resets the device alone", sourceLocation: sourceLocation)
    }

    @Test("a physical function with virtual ones stays awake", arguments: Scenario.all)
    func power(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let device = try Device(at: bench.physicalFunction, in: bench.makeSpace(), token: Self.token)
            _ = try bench.makeVirtualFunctions(1)
            try device.setPowerState(3)
            #expect(try device.read { try $0.powerManagement()?.state } == 0)
            #expect(try device.withRegisters(.bar0) { $0.read32(at: 8) } == 0x0001_0400)
            let wakeup = try device.enterLowPowerUntilWakeup()
            _ = try device.command()
            #expect(try wakeup.wait(timeout: .milliseconds(500)) == false)
            try device.leaveLowPower()
            try bench.setVirtualFunctions("0")
            try device.setPowerState(3)
            #expect(try device.read { try $0.powerManagement()?.state } == 3)
            try device.setPowerState(0)
            try closeAll(wakeup, device)
        }
    }
}
