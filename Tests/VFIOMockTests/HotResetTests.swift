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
        // Memory decode goes off, and the look at that fails: what is known is old now.
        machine.failNextCall(.pread, with: .ioError, skipping: 1)
        #expect(throws: VFIOError.self) { try memory.config.updateCommand { $0.remove(.memoryDecode) } }
        #expect(machine.pendingFailureCount == 0)
        #expect(window.state == .live)
        // The first device that is asked is the other one.
        machine.failNextCall(.pread, with: .ioError)
        let error = #expect(throws: VFIOError.self) { try edu.hotReset() }
        #expect(error?.errno == .ioError)
        #expect(window.state == .revoked)
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
        #expect(throws: VFIOError.self) { try memory.config.updateCommand { $0.remove(.memoryDecode) } }
        #expect(window.state == .live)
        machine.failNextCall(.ioctl, with: .resourceBusy, skipping: 2)
        #expect(throws: VFIOError.self) { try edu.hotReset() }
        #expect(window.state == .revoked)
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
}
