import Synchronization

/// What the lab's machine has not: functions behind one bus that are of different groups.
@Suite struct HotResetTests {
    private static func machine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:01:00.0")
        machine.plug(SharedMemoryModel(), at: "0000:01:00.1")
        return machine
    }

    @Test("a function of somebody else stands in the way", arguments: [AddressSpace.Interface.type1, .iommufd])
    func stranger(_ interface: AddressSpace.Interface) throws {
        let space = try AddressSpace(interface, kernel: Self.machine().kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let error = #expect(throws: VFIOError.self) { try edu.hotReset() }
        #expect(error?.code == .busy)
        #expect(error?.hint?.contains("0000:01:00.1") == true)
        let memory = try Device(at: "0000:01:00.1", in: space)
        try edu.hotReset()
        try closeAll(memory, edu)
    }

    @Test("a device in a sibling address space is reset too, and its dma-bufs are known to be revoked")
    func sibling() throws {
        let space = try AddressSpace(.iommufd, kernel: Self.machine().kernel)
        let sibling = try space.makeSibling()
        let edu = try Device(at: "0000:01:00.0", in: space)
        let memory = try Device(at: "0000:01:00.1", in: sibling)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        try edu.hotReset()
        #expect(peer.state == .revoked)
        #expect(window.state == .live)
        try peer.restore()
        try closeAll(peer, window, memory, edu)
    }

    @Test("one device that does not answer after a hot reset leaves no other's state unknown")
    func unreadable() throws {
        let machine = Self.machine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let memory = try Device(at: "0000:01:00.1", in: space)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        // The write succeeds, and the look at its effect fails: the state is unknown now.
        machine.failNextCall(.pread, with: .ioError, skipping: 1)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        #expect(machine.pendingFailureCount == 0)
        #expect(window.state == .revoked)
        // The first device that is asked is the other one, of which the capabilities are known.
        try edu.config.updateCommand { _ in }
        machine.failNextCall(.pread, with: .ioError)
        try edu.hotReset()
        #expect(machine.pendingFailureCount == 0)
        #expect(window.state == .live)
        try closeAll(window, memory, edu)
    }

    @Test("after a failed hot reset the memory of all devices is looked at")
    func lookAfterFailure() throws {
        let machine = Self.machine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let memory = try Device(at: "0000:01:00.1", in: space)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        machine.failNextCall(.pread, with: .ioError, skipping: 1)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        #expect(window.state == .revoked)
        machine.failNextCall(.ioctl, with: .resourceBusy, skipping: 2)
        #expect(throws: VFIOError.self) { try edu.hotReset() }
        #expect(window.state == .live)
        try closeAll(window, memory, edu)
    }

    @Test("a failed hot reset counts as a revocation")
    func failure() throws {
        let machine = Self.machine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let memory = try Device(at: "0000:01:00.1", in: space)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        // The third request: twice the information, then the reset.
        machine.failNextCall(.ioctl, with: .resourceBusy, skipping: 2)
        let error = #expect(throws: VFIOError.self) { try edu.hotReset() }
        #expect(error?.code == .busy)
        #expect(peer.state == .revoked)
        try peer.restore()
        try closeAll(peer, window, memory, edu)
    }

    /// The kernel has 16 bits for the domain of a function; devices behind Intel VMD are in domains beyond.
    @Test("the functions are in the domain of the device, and no other domain's is touched")
    func wideDomain() throws {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "10000:01:00.0", group: 20)
        machine.plug(SharedMemoryModel(), at: "10000:01:00.1", group: 20)
        machine.plug(SharedMemoryModel(), at: "0000:01:00.1")
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Device(at: "10000:01:00.0", in: space)
        let memory = try Device(at: "10000:01:00.1", in: space)
        let bystander = try Device(at: "0000:01:00.1", in: space)
        try memory.config.updateCommand { $0.insert(.memoryDecode) }
        try bystander.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try memory.exportDMABuf(of: .bar2, 0..<4096)
        let other = try bystander.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        let untouched = try space.map(other)
        #expect(try edu.hotResetInfo().functions.map(\.address) == ["10000:01:00.0", "10000:01:00.1"])
        try edu.hotReset()
        #expect(peer.state == .revoked)
        #expect(untouched.state == .live)
        try peer.restore()
        #expect(peer.state == .live && peer.restoreCount == 1)
    }

    /// The device that keeps the group open may be elsewhere, and closed by another thread.
    @Test("a group is not closed between the question and the reset")
    func heldGroup() throws {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:01:00.0", group: 8)
        machine.plug(SharedMemoryModel(), at: "0000:01:00.1", group: 9)
        machine.plug(EduModel(), at: "0000:00:02.0", group: 9)
        let kernel = HookedKernel(machine.kernel)
        let space = try AddressSpace(.type1, kernel: kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let member = Mutex<Device?>(try Device(at: "0000:00:02.0", in: space))
        kernel.before(CVFIO_DEVICE_PCI_HOT_RESET) {
            member.withLock { member in
                guard let device = member.take() else { return }
                do throws(VFIOError) { try device.close() } catch { Issue.record(error) }
                #expect(machine.openFiles.contains { $0.kind == .group(9) })
            }
        }
        try edu.hotReset()
        #expect(!machine.openFiles.contains { $0.kind == .device(.pci("0000:00:02.0")) })
        #expect(!machine.openFiles.contains { $0.kind == .group(9) })
    }

    /// The last group of a container stays open for its mappings, also beside groups that are opened later.
    @Test("a group without a device is not closed between the question and the reset")
    func heldGroupOfMappings() throws {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:01:00.0", group: 8)
        machine.plug(SharedMemoryModel(), at: "0000:01:00.1", group: 9)
        let kernel = HookedKernel(machine.kernel)
        let space = try AddressSpace(.type1, kernel: kernel)
        let first = try Device(at: "0000:01:00.1", in: space)
        let buffer = Mutex<DMABuffer?>(try space.allocate(byteCount: 4096))
        try first.close()
        let edu = try Device(at: "0000:01:00.0", in: space)
        kernel.before(CVFIO_DEVICE_PCI_HOT_RESET) {
            buffer.withLock { buffer in
                guard let mapping = buffer.take() else { return }
                do throws(VFIOError) { try mapping.close() } catch { Issue.record(error) }
                #expect(machine.openFiles.contains { $0.kind == .group(9) })
            }
        }
        try edu.hotReset()
        #expect(!machine.openFiles.contains { $0.kind == .group(9) })
        try edu.close()
    }

    @Test("where the kernel does not tell what was reset, all devices count")
    func silence() throws {
        let machine = Self.machine()
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Device(at: "0000:01:00.0", in: space)
        let memory = try Device(at: "0000:01:00.1", in: space)
        let far = try Device(at: "0000:00:03.0", in: space)
        try far.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try far.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try space.map(window)
        // Twice the information, the reset, and the information again.
        machine.failNextCall(.ioctl, with: .noMemory, skipping: 3)
        try edu.hotReset()
        #expect(machine.pendingFailureCount == 0)
        #expect(peer.state == .revoked)
        try memory.close()
    }
}
