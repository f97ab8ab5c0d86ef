import SystemPackage
import Testing
import VFIO
import VFIOMock

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
        try memory.close()
        try edu.close()
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
        try peer.close()
        try window.close()
        try memory.close()
        try edu.close()
    }
}
