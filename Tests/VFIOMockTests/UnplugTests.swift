import Testing
import VFIO
import VFIOMock

/// Devices that the host asks for, reports an error of, and takes away.
@Suite struct UnplugTests {
    private static let edu: PCIAddress = "0000:00:02.0"
    private static let disk: PCIAddress = "0000:00:04.0"

    private static func makeMachine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: edu)
        machine.plug(NVMeModel(), at: disk)
        return machine
    }

    @Test func aDeviceThatNobodyHasOpenLeavesAtOnce() throws {
        let machine = Self.makeMachine()
        #expect(machine.unplug(Self.edu))
        #expect(try PCIBus(kernel: machine.kernel).functions().map(\.address) == [Self.disk])
        #expect(throws: VFIOError.self) { _ = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel)) }
    }

    @Test func anOpenDeviceIsAskedForAndLeavesWhenItCloses() async throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        let watch = try device.watch()
        var events = watch.events.makeAsyncIterator()
        #expect(!machine.unplug(Self.edu))
        #expect(try await events.next() == .releaseRequested)
        // Not again within 10 seconds.
        #expect(!machine.unplug(Self.edu))
        #expect(try watch.poll() == nil)
        // It works until it is closed.
        #expect(try device.isPresent())
        try watch.close()
        #expect(try PCIBus(kernel: machine.kernel).functions().count == 2)
        try device.close()
        #expect(try PCIBus(kernel: machine.kernel).functions().map(\.address) == [Self.disk])
        #expect(machine.openFiles.map(\.kind) == [.iommufd])
    }

    @Test func whoBeginsToListenLateIsAskedThen() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        machine.unplug(Self.edu)
        let watch = try device.watch()
        #expect(try watch.wait(timeout: .seconds(10)) == .releaseRequested)
        try watch.close()
        try device.close()
    }

    @Test func oneThatIsTornOutIsGone() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.disk, in: AddressSpace(kernel: machine.kernel))
        let watch = try device.watch()
        machine.setAnswering(false, at: Self.disk)
        machine.unplug(Self.disk)
        #expect(try watch.poll() == .gone)
        try watch.close()
        try device.close()
        #expect(try PCIBus(kernel: machine.kernel).functions().map(\.address) == [Self.edu])
    }

    @Test func aModelReportsWhatTheHostFinds() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.disk, in: AddressSpace(kernel: machine.kernel))
        let watch = try device.watch()
        machine.withDevice(NVMeModel.self, at: Self.disk) { _, bus in
            bus.reportError()
            bus.requestRelease()
            bus.requestRelease()
        }
        #expect(try watch.poll() == .error)
        #expect(try watch.poll() == .releaseRequested)
        #expect(try watch.poll() == nil)
        try watch.close()
        try device.close()
    }

    @Test func aDeviceInLowPowerIsNotWokenByALook() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.disk, in: AddressSpace(kernel: machine.kernel))
        let watch = try device.watch()
        try device.enterLowPower()
        machine.recordsCalls = true
        machine.withDevice(NVMeModel.self, at: Self.disk) { _, bus in bus.requestRelease() }
        #expect(try watch.poll() == .releaseRequested)
        #expect(!machine.calls.contains { $0.call == .pread })
        try watch.close()
        try device.close()
    }
}
