import VFIOPassthrough

/// Devices passed to virtual machines, as the mock shows it.
@Suite struct KVMTests {
    /// Registers in memory, with an MSI-X table in the third of four pages.
    private struct Adapter: MockDevice {
        let pci = MockPCIFunction(
            vendor: 0x1234, device: 0x5678, bars: [0: .memory(0x4000)],
            msix: .init(vectors: 8, bar: 0, tableOffset: 0x2000, pendingOffset: 0x3000))
    }

    private static let edu: PCIAddress = "0000:00:02.0"
    private static let adapter: PCIAddress = "0000:00:05.0"

    private static func machine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: edu)
        machine.plug(Adapter(), at: adapter)
        return machine
    }

    /// A virtual machine with an interrupt controller, as a monitor makes it.
    private static func monitor(_ kernel: MockKernel) throws -> FileDescriptor {
        let kvm = try kernel.open("/dev/kvm", .readWrite)
        let guest = FileDescriptor(rawValue: Int32(try kernel.control(kvm, CKVM_CREATE_VM, value: 0)))
        try kernel.close(kvm)
        _ = try kernel.control(guest, CKVM_CREATE_IRQCHIP, value: 0)
        return guest
    }

    /// Runs a test with a virtual machine, and expects nothing to be left open.
    private static func withGuest(_ body: (MockMachine, VirtualMachine) throws -> Void) throws {
        let machine = machine()
        let guest = try monitor(machine.kernel)
        try body(machine, try VirtualMachine(guest, kernel: machine.kernel))
        try machine.kernel.close(guest)
        #expect(machine.openFiles.isEmpty)
        #expect(machine.pendingFailureCount == 0)
    }

    @Test func registrationsAreShown() throws {
        try Self.withGuest { machine, virtual in
            let device = try Device(at: Self.edu, in: AddressSpace(.iommufd, kernel: machine.kernel), for: virtual)
            #expect(machine.virtualMachines.map(\.registrations) == [[.device(.pci(Self.edu))]])
            try device.close()
            #expect(machine.virtualMachines.map(\.registrations) == [[]])
            let other = try Device(at: Self.edu, in: AddressSpace(.type1, kernel: machine.kernel), for: virtual)
            #expect(machine.virtualMachines[0].registrations.count == 1)
            guard case .group? = machine.virtualMachines[0].registrations.first else {
                Issue.record("with type1 it is the group that is registered")
                return
            }
            try other.close()
            #expect(machine.virtualMachines.map(\.registrations) == [[]])
        }
    }

    /// The machine has to be known when the device is opened, so that its driver learns of it.
    @Test func theRegistrationComesBeforeTheBinding() throws {
        let machine = Self.machine()
        let guest = try Self.monitor(machine.kernel)
        for interface in [AddressSpace.Interface.iommufd, .type1] {
            let virtual = try VirtualMachine(guest, kernel: machine.kernel)
            let space = try AddressSpace(interface, kernel: machine.kernel)
            let opening = interface == .iommufd ? CVFIO_DEVICE_BIND_IOMMUFD : CVFIO_GROUP_GET_DEVICE_FD
            machine.failNextCall(.ioctl, with: .permissionDenied, request: MockRequest(rawValue: opening))
            machine.recordsCalls = true
            let before = machine.calls.count
            #expect(throws: VFIOError.self) { _ = try Device(at: Self.edu, in: space, for: virtual) }
            let requests = machine.calls.dropFirst(before).compactMap(\.request)
            let first = try #require(requests.firstIndex(of: CKVM_SET_DEVICE_ATTR))
            let last = try #require(requests.lastIndex(of: CKVM_SET_DEVICE_ATTR))
            let middle = try #require(requests.firstIndex(of: opening))
            // Added before, and taken out after the refusal.
            #expect(first < middle && middle < last)
            #expect(machine.virtualMachines.map(\.registrations) == [[]])
        }
        try machine.kernel.close(guest)
        #expect(machine.openFiles.isEmpty)
    }

    @Test func slotsLeadToTheBARAroundItsMSIXTable() throws {
        try Self.withGuest { machine, virtual in
            let device = try Device(at: Self.adapter, in: AddressSpace(kernel: machine.kernel))
            let bar = try device.makeGuestBAR(.bar0, of: virtual, slots: 4..<8)
            #expect(machine.virtualMachines[0].slots == [])
            try bar.map(at: 0xc000_0000)
            #expect(bar.pieces == [0..<0x2000, 0x3000..<0x4000])
            let shown = machine.virtualMachines[0].slots
            #expect(shown.map(\.number) == [4, 5])
            #expect(shown.map(\.guestAddress) == [0xc000_0000, 0xc000_3000])
            #expect(shown.map(\.byteCount) == [0x2000, 0x1000])
            #expect(
                shown.map(\.target) == [
                    .bar(0, of: .pci(Self.adapter), offset: 0), .bar(0, of: .pci(Self.adapter), offset: 0x3000),
                ])
            try bar.unmap()
            #expect(machine.virtualMachines[0].slots == [])
            try closeAll(bar, device)
        }
    }

    @Test func aSlotThatCannotBeMadeTakesTheOthersBack() throws {
        try Self.withGuest { machine, virtual in
            let space = try AddressSpace(.iommufd, kernel: machine.kernel)
            let device = try Device(at: Self.adapter, in: space)
            let bar = try device.makeGuestBAR(.bar0, of: virtual, slots: 4..<8, peersIn: space)
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion, skipping: 1)
            #expect(throws: VFIOError.self) { try bar.map(at: 0xc000_0000) }
            #expect(bar.address == nil)
            #expect(machine.virtualMachines[0].slots == [])
            #expect(machine.mappings == [])
            try bar.map(at: 0xc000_0000)
            #expect(machine.mappings.count == 2)
            // A hiding that fails can be tried again.
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion)
            #expect(throws: VFIOError.self) { try bar.unmap() }
            #expect(bar.address == 0xc000_0000)
            try bar.unmap()
            #expect(machine.mappings == [])
            try closeAll(bar, device)
        }
    }

    /// What is shown and what is not is known at each moment, also when KVM refuses to take a slot away.
    @Test func aBARThatIsHiddenInPartIsPutBackOrHiddenAgain() throws {
        try Self.withGuest { machine, virtual in
            let space = try AddressSpace(.iommufd, kernel: machine.kernel)
            let device = try Device(at: Self.adapter, in: space)
            let bar = try device.makeGuestBAR(.bar0, of: virtual, slots: 4..<8, peersIn: space)
            func places() -> [UInt32: GuestAddress] {
                Dictionary(uniqueKeysWithValues: machine.virtualMachines[0].slots.map { ($0.number, $0.guestAddress) })
            }
            func peers() -> [UInt64] { machine.mappings.map(\.iova.rawValue).sorted() }
            try bar.map(at: 0xc000_0000)
            // The first piece stays, and the second one goes all the same.
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion)
            #expect(throws: VFIOError.self) { try bar.unmap() }
            #expect(bar.address == 0xc000_0000)
            #expect(places() == [4: 0xc000_0000])
            #expect(peers() == [0xc000_0000])
            // To move it to where it counts as shown puts back what is missing.
            try bar.move(to: 0xc000_0000)
            #expect(places() == [4: 0xc000_0000, 5: 0xc000_3000])
            #expect(peers() == [0xc000_0000, 0xc000_3000])
            // So does a move whose beginning fails.
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion)
            #expect(throws: VFIOError.self) { try bar.move(to: 0xd000_0000) }
            #expect(bar.address == 0xc000_0000)
            #expect(places() == [4: 0xc000_0000, 5: 0xc000_3000])
            #expect(peers() == [0xc000_0000, 0xc000_3000])
            // A piece that could not be taken back after another one failed is nowhere else later.
            try bar.unmap()
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion, skipping: 1, count: 2)
            #expect(throws: VFIOError.self) { try bar.map(at: 0xe000_0000) }
            #expect(places() == [4: 0xe000_0000])
            #expect(bar.address == nil)
            let taken = try space.allocate(byteCount: 4096, placement: .fixed(0xd000_0000))
            #expect(throws: VFIOError.self) { try bar.map(at: 0xd000_0000) }
            #expect(places() == [:])
            try taken.close()
            try bar.map(at: 0xd000_0000)
            #expect(places() == [4: 0xd000_0000, 5: 0xd000_3000])
            #expect(peers() == [0xd000_0000, 0xd000_3000])
            try bar.close()
            #expect(places() == [:])
            #expect(peers() == [])
            try device.close()
        }
    }

    /// The guest must never find other memory of the process where a BAR was.
    @Test func aSlotThatStaysKeepsItsMapping() throws {
        let machine = Self.machine()
        let guest = try Self.monitor(machine.kernel)
        do {
            let virtual = try VirtualMachine(guest, kernel: machine.kernel)
            let device = try Device(at: Self.adapter, in: AddressSpace(kernel: machine.kernel))
            let bar = try device.makeGuestBAR(.bar0, of: virtual, slots: 4..<8)
            try bar.map(at: 0xc000_0000)
            // Each of the two slots, at the closing, and at the end of what was closed.
            machine.failNextCall(.ioctl, with: .noMemory, request: .kvmSetUserMemoryRegion, count: 4)
            expectFailure(bar)
        }
        #expect(machine.pendingFailureCount == 0)
        let left = machine.virtualMachines[0].slots
        #expect(left.count == 2)
        #expect(left.allSatisfy { $0.target != .nothing })
        try machine.kernel.close(guest)
    }

    private func expectFailure(_ bar: consuming GuestBAR) {
        do throws(VFIOError) {
            try bar.close()
            Issue.record("the slot was taken away")
        } catch {
            #expect(error.errno == .noMemory)
        }
    }

    @Test func anINTxComesAgainUntilTheDeviceIsServed() throws {
        try Self.withGuest { machine, virtual in
            let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
            let vector = try device.interrupts(.intx).enable()
            let connection = try virtual.makeIRQFD(for: vector, to: 11)
            func count() -> UInt64? {
                // The mock looks at eventfds when a call comes in.
                _ = try? machine.kernel.memoryLockLimit()
                return machine.virtualMachines[0].interrupts.first?.count
            }
            #expect(machine.virtualMachines[0].interrupts.map(\.isResampled) == [true])
            try device.withRegisters(.bar0) { $0.write32(1, at: 0x60) }
            #expect(count() == 1)
            // Masked until the guest has acknowledged it; then it comes again, since its level is up.
            machine.acknowledgeInterrupt(11)
            #expect(count() == 2)
            try device.withRegisters(.bar0) { $0.write32(1, at: 0x64) }
            machine.acknowledgeInterrupt(11)
            #expect(count() == 2)
            try device.withRegisters(.bar0) { $0.write32(1, at: 0x60) }
            #expect(count() == 3)
            try connection.close()
            #expect(machine.virtualMachines[0].interrupts == [])
            try closeAll(vector, device)
        }
    }

    @Test func aGuestRingsADoorbell() throws {
        try Self.withGuest { machine, virtual in
            let device = try Device(at: Self.adapter, in: AddressSpace(kernel: machine.kernel))
            let doorbell = try virtual.makeIOEventFD(
                try device.makeIOEventFD(UInt32(7), at: 0x1000, of: .bar0), at: 0xc000_1000)
            #expect(
                machine.virtualMachines[0].doorbells == [
                    .init(guestAddress: 0xc000_1000, width: 4, value: 7)
                ])
            #expect(machine.writeAsGuest(8, width: 4, at: 0xc000_1000) == false)
            #expect(machine.writeAsGuest(7, width: 2, at: 0xc000_1000) == false)
            #expect(machine.writeAsGuest(7, width: 4, at: 0xc000_1000))
            #expect(try device.withRegisters(.bar0) { $0.read32(at: 0x1000) } == 7)
            try doorbell.close()
            #expect(machine.writeAsGuest(7, width: 4, at: 0xc000_1000) == false)
            try device.close()
        }
    }
}
