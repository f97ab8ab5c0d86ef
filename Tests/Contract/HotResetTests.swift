import Synchronization

@testable import VFIO

/// The reset of a whole bus: what it touches, who may ask for it, what it takes away.
extension Contract.HotResetTests {
    @Test("on the root complex there is none", arguments: Scenario.all)
    func rootComplex(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        expectRefusal(.unsupported, .operationNotSupportedByDevice) { _ = try device.hotResetInfo() }
        expectRefusal(.unsupported, .operationNotSupportedByDevice) { try device.hotReset() }
        try device.close()
    }

    @Test(
        "all functions behind the bus are named, with who holds them [iommufd-pci-device-open]",
        arguments: Scenario.all)
    func info(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let memory = try Device(at: bench.busMemory, in: space)
        let alone = try memory.hotResetInfo()
        #expect(alone.functions.map(\.address) == [bench.busMemory, bench.busEdu])
        let edu = try Device(at: bench.busEdu, in: space)
        let both = try memory.hotResetInfo()
        #expect(both.functions.map(\.address) == [bench.busMemory, bench.busEdu])
        if scenario.usesIOMMUFD {
            #expect(alone.isOwned == true && both.isOwned == true)
            // By its group the other one is ours before it is open.
            #expect(alone.functions[1].owner == .ownGroup)
            var ids: Set<UInt32> = []
            for function in both.functions {
                guard case .device(let id) = function.owner else {
                    Issue.record("\(function) is not ours")
                    continue
                }
                ids.insert(id)
            }
            #expect(ids.count == 2)
        } else {
            let group = try bench.group(of: bench.busMemory)
            #expect(alone.isOwned == nil && both.isOwned == nil)
            #expect(alone.functions.allSatisfy { $0.owner == .group(group) })
            #expect(both == alone)
        }
        try closeAll(edu, memory)
    }

    @Test(
        "the kernel's own answers: ENOSPC with the number, EINVAL for the other flavour [vfio-pci-hot-reset]",
        arguments: Scenario.all)
    func answers(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.busMemory, in: bench.makeSpace())
        let descriptor = device.core.descriptor
        var info = cvfio_pci_hot_reset_info()
        info.argsz = 12
        expectErrno(.noSpace) { try bench.kernel.control(descriptor, CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO, with: &info) }
        #expect(info.count == 2)
        info.argsz = 11
        expectErrno(.invalidArgument) {
            try bench.kernel.control(descriptor, CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO, with: &info)
        }
        // With groups where there are none, and without where they are wanted.
        expectErrno(.invalidArgument) {
            try bench.kernel.hotReset(descriptor, groups: scenario.usesIOMMUFD ? [descriptor.rawValue] : [])
        }
        if !scenario.usesIOMMUFD {
            expectErrno(.badFileDescriptor) { try bench.kernel.hotReset(descriptor, groups: [1 << 20]) }
            // A descriptor, but not of a group.
            expectErrno(.invalidArgument) { try bench.kernel.hotReset(descriptor, groups: [descriptor.rawValue]) }
            // More groups than functions.
            expectErrno(.invalidArgument) {
                try bench.kernel.hotReset(descriptor, groups: [1 << 20, 1 << 20, 1 << 20])
            }
        }
        expectErrno(.invalidArgument) { try bench.kernel.hotReset(descriptor, groups: [], flags: 1) }
        try device.close()
    }

    @Test("a hot reset with one function open, and with both", arguments: Scenario.all)
    func reset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.busEdu, in: space)
        _ = try edu.liveness(7)
        let vector = try edu.device.enable(.msi)
        try edu.device.hotReset()
        // Memory decode and bus master are as they were, and so is the interrupt.
        #expect(try edu.device.command().contains([.memoryDecode, .busMaster]))
        #expect(try edu.identification() == 0x0100_00ed)
        try edu.expectInterrupt(1, vector)
        let memory = try Device(at: bench.busMemory, in: space)
        try memory.hotReset()
        try memory.withRegisters(.bar2) { registers in
            registers.write32(0xc0ffee, at: 0)
            #expect(registers.read32(at: 0) == 0xc0ffee)
        }
        try edu.expectInterrupt(1, vector)
        try closeAll(vector, memory, edu)
    }

    @Test("a hot reset asked of one device revokes the dma-bufs of the other", arguments: Scenario.all)
    func revokes(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.busEdu, in: space)
        let memory = try Device(at: bench.busMemory, in: space)
        try memory.setMemoryDecode(true)
        let stranger = try Device(at: bench.memory, in: space)
        try stranger.setMemoryDecode(true)
        let landing = try space.allocate(byteCount: 4096)
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        let other = try stranger.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        let untouched = try space.map(other)
        try edu.write([1, 2, 3, 4], at: peer.iova, by: landing)

        try edu.device.hotReset()
        #expect(peer.state == .revoked)
        #expect(untouched.state == .live)
        #expect(window.state == .live)
        try bench.expectFault(.read, at: peer.iova, by: bench.busEdu) {
            _ = try edu.bytes(4, at: peer.iova, by: landing)
        }
        try peer.restore()
        #expect(try edu.bytes(4, at: peer.iova, by: landing) == [1, 2, 3, 4])

        try closeAll(untouched, other, peer)

        try closeAll(window, landing, stranger)
        try closeAll(memory, edu)
    }

    @Test("a device that is opened right before the request is known to be reset", arguments: Scenario.all)
    func newcomer(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let kernel = HookedKernel(bench.kernel)
        let space = try AddressSpace(scenario.interface, kernel: kernel)
        let edu = try EduDriver(at: bench.busEdu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        let address = bench.busMemory
        let opened = Mutex<Newcomer?>(nil)
        kernel.before(CVFIO_DEVICE_PCI_HOT_RESET) {
            opened.withLock { newcomer in
                do { newcomer = try Newcomer(address, in: space) } catch { Issue.record(error) }
            }
        }
        try edu.device.hotReset()
        let newcomer = try #require(opened.withLock { $0 })
        #expect(newcomer.peer.state == .revoked)
        try bench.expectFault(.read, at: newcomer.peer.iova, by: bench.busEdu) {
            _ = try edu.bytes(4, at: newcomer.peer.iova, by: landing)
        }
        try newcomer.peer.restore()
        try edu.write([1, 2, 3, 4], at: newcomer.peer.iova, by: landing)
        #expect(try edu.bytes(4, at: newcomer.peer.iova, by: landing) == [1, 2, 3, 4])
        opened.withLock { $0 = nil }
        try closeAll(landing, edu)
    }

    @Test("a device behind the bus that is closed meanwhile stays open until the end", arguments: Scenario.all)
    func leaver(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = HookedKernel(bench.kernel)
        let space = try AddressSpace(scenario.interface, kernel: kernel)
        let edu = try Device(at: bench.busEdu, in: space)
        let sibling = Mutex<Device?>(try Device(at: bench.busMemory, in: space))
        let refusal = Mutex<VFIOError?>(nil)
        kernel.after(CVFIO_DEVICE_PCI_HOT_RESET) {
            sibling.withLock { sibling in
                guard let device = sibling.take() else { return }
                do throws(VFIOError) { try device.close() } catch { refusal.withLock { $0 = error } }
            }
        }
        try edu.hotReset()
        let error = try #require(refusal.withLock { $0 })
        #expect(error.code == .inUse)
        #expect(error.hint?.contains("a hot reset, which is in progress") == true)
        // It is closed now.
        try Device(at: bench.busMemory, in: space).close()
        try edu.close()
    }

    @Test("a mapping is made again whatever is known of it", arguments: Scenario.all)
    func restoreEvenIfLive(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.busEdu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        let newcomer = try Newcomer(bench.busMemory, in: space)
        let peer = newcomer.peer.iova
        try edu.write([1, 2, 3, 4], at: peer, by: landing)
        // Behind the library's back.
        let groups = try scenario.usesIOMMUFD ? [] : [bench.group(of: bench.busEdu)].map(Int32.init)
        _ = try bench.kernel.hotReset(edu.device.core.descriptor, groups: groups)
        #expect(newcomer.peer.state == .live)
        try newcomer.peer.restore()
        #expect(newcomer.peer.restoreCount == 0)
        try bench.expectFault(.read, at: peer, by: bench.busEdu) { _ = try edu.bytes(4, at: peer, by: landing) }
        try newcomer.peer.restore(evenIfLive: true)
        #expect(newcomer.peer.restoreCount == 1)
        #expect(try edu.bytes(4, at: peer, by: landing) == [1, 2, 3, 4])
        try closeAll(landing, edu)
    }
}

/// A device whose memory is mapped for others.
private final class Newcomer: Sendable {
    private let device: Device
    private let window: DMABuf
    let peer: PeerMapping

    init(_ address: PCIAddress, in space: AddressSpace) throws {
        device = try Device(at: address, in: space)
        try device.setMemoryDecode(true)
        window = try device.exportDMABuf(of: .bar2, 0..<4096)
        peer = try space.map(window)
    }
}

extension Bench {
    /// The number of a device's IOMMU group.
    fileprivate func group(of device: PCIAddress) throws -> Int {
        let link = try kernel.readLink(FilePath("/sys/bus/pci/devices/\(device)/iommu_group"))
        return try #require(Int(link.lastComponent!.string))
    }
}

extension Kernel {
    /// `VFIO_DEVICE_PCI_HOT_RESET`, with anything in it.
    fileprivate func hotReset(_ device: FileDescriptor, groups: [Int32], flags: UInt32 = 0) throws(Errno) -> Int {
        var request = cvfio_pci_hot_reset()
        let size = MemoryLayout<cvfio_pci_hot_reset>.size
        request.argsz = UInt32(size + groups.count * 4)
        request.flags = flags
        request.count = UInt32(groups.count)
        let buffer = RequestBuffer(request, tail: groups.count * 4)
        for (position, group) in groups.enumerated() { buffer.store(group, at: size + position * 4) }
        return try control(device, CVFIO_DEVICE_PCI_HOT_RESET, with: buffer)
    }
}
