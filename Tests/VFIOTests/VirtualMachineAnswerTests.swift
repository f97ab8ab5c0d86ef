import Synchronization

@testable import VFIO
@testable import VFIOPassthrough

/// What the library makes of KVM's answers, and what it asks.
@Suite struct VirtualMachineAnswerTests {
    private let kernel = ScriptedKernel.machine()
    /// What KVM was asked, in order.
    private let asked = Asked()

    private final class Asked: Sendable {
        let attributes = Mutex<[UInt64]>([])
        let slots = Mutex<[ckvm_userspace_memory_region]>([])
        let doorbellWidths = Mutex<[UInt32]>([])
    }

    init() {
        kernel.accept(CKVM_CREATE_DEVICE, ckvm_create_device.self) { [kernel] request in
            request.fd = UInt32(bitPattern: kernel.makeDescriptor("kvm-vfio").rawValue)
        }
        kernel.accept(CKVM_SET_DEVICE_ATTR, ckvm_device_attr.self) { [asked] request in
            asked.attributes.withLock { $0.append(request.attr) }
        }
        kernel.accept(CKVM_SET_USER_MEMORY_REGION, ckvm_userspace_memory_region.self) { [asked] request in
            asked.slots.withLock { $0.append(request) }
        }
        kernel.accept(CKVM_IRQFD)
        kernel.accept(CKVM_IOEVENTFD, ckvm_ioeventfd.self) { [asked] request in
            asked.doorbellWidths.withLock { $0.append(request.len) }
        }
        kernel.accept(CVFIO_DEVICE_IOEVENTFD)
    }

    private func machine() throws -> VirtualMachine {
        try VirtualMachine(kernel.makeDescriptor("machine"), kernel: kernel)
    }

    private func device(_ interface: AddressSpace.Interface = .iommufd, for machine: VirtualMachine? = nil) throws
        -> Device
    { try Device(at: ScriptedKernel.address, in: try AddressSpace(interface, kernel: kernel), for: machine) }

    private func error(_ body: () throws -> Void) -> VFIOError? {
        let error = #expect(throws: VFIOError.self) { try body() }
        // Whatever it is, it can be told.
        #expect(error?.description.isEmpty == false)
        return error
    }

    // MARK: Registrations

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1])
    func whatWasRegisteredIsTakenOutOnce(_ interface: AddressSpace.Interface) throws {
        do {
            let machine = try machine()
            let device = try device(interface, for: machine)
            do {
                let registration = try machine.register(device)
                _ = registration
            }
            #expect(asked.attributes.withLock { $0 } == [CKVM_DEV_VFIO_FILE_ADD])
            try device.close()
            #expect(asked.attributes.withLock { $0 } == [CKVM_DEV_VFIO_FILE_ADD, CKVM_DEV_VFIO_FILE_DEL])
            let another = try self.device(interface)
            do {
                let registration = try machine.register(another)
                _ = registration
            }
            #expect(asked.attributes.withLock { $0.count } == 4)
            try another.close()
            #expect(asked.attributes.withLock { $0.count } == 4)
        }
        // The kvm-vfio device among them.
        #expect(kernel.openNames == ["machine"])
    }

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1])
    func aRegistrationThatCannotBeEndedIsToldOfAndTheDeviceIsClosed(_ interface: AddressSpace.Interface) throws {
        do {
            let device = try device(interface, for: machine())
            kernel.refuse(CKVM_SET_DEVICE_ATTR, with: .ioError)
            let failure = closingError(device)
            #expect(failure?.errno == .ioError)
            #expect(failure?.hint?.contains("another process's") == true)
            #expect(failure?.subject == "\(ScriptedKernel.address)")
            #expect(kernel.openNames.contains("device") == false)
        }
        #expect(kernel.openNames == ["machine"])
    }

    @Test func aBridgeThatIsNoDescriptorIsAnError() throws {
        kernel.accept(CKVM_CREATE_DEVICE, ckvm_create_device.self) { $0.fd = .max }
        kernel.refuse(CKVM_SET_DEVICE_ATTR, with: .badFileDescriptor)
        #expect(error { _ = try device(for: machine()) }?.errno == .badFileDescriptor)
        #expect(kernel.openNames == ["machine"])
    }

    // MARK: Refusals

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1])
    func registrationsThatAreRefusedLeaveNothing(_ interface: AddressSpace.Interface) throws {
        let descriptor = kernel.makeDescriptor("machine")
        kernel.expectRefusals(
            of: CKVM_SET_DEVICE_ATTR,
            [.fileExists: .busy, .invalidArgument: .unsupported, .noMemory: .kernel, .ioError: .kernel]
        ) { _ = try device(interface, for: VirtualMachine(descriptor, kernel: kernel)) }
    }

    @Test func whatKVMRefusesIsToldOf() throws {
        let machine = try machine()
        let device = try device()
        // The bridge is tried again each time.
        kernel.expectRefusals(
            of: CKVM_CREATE_DEVICE,
            [
                .resourceBusy: .busy, .operationNotSupportedByDevice: .unsupported,
                .inappropriateIOCTLForDevice: .invalidArgument, .permissionDenied: .kernel,
            ]
        ) { _ = try machine.register(device) }
        let bar = try device.makeGuestBAR(.bar0, of: machine, slots: [7])
        let slot = kernel.expectRefusals(
            of: CKVM_SET_USER_MEMORY_REGION,
            [
                .fileExists: .alreadyMapped, .invalidArgument: .invalidArgument, .noMemory: .kernel,
                .ioError: .kernel, .inappropriateIOCTLForDevice: .invalidArgument,
            ]
        ) { try bar.map(at: 0xc000_0000) }
        #expect(slot?.subject.contains("(slot 7)") == true)
        #expect(bar.address == nil)
        let vector = try device.interrupts(.msi).enable()
        kernel.expectRefusals(
            of: CKVM_IRQFD,
            [
                .resourceBusy: .busy, .invalidArgument: .invalidArgument,
                .resourceTemporarilyUnavailable: .invalidArgument, .ioError: .kernel,
            ]
        ) { _ = try machine.makeIRQFD(for: vector, to: 5) }
        // There is no slot to be taken away.
        try closeAll(vector, bar, device)
    }

    // MARK: Slots

    @Test func aSlotIsWhatItSays() throws {
        kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
            region.flags = CVFIO_REGION_INFO_FLAG_READ
            region.offset = ScriptedKernel.offset(ofRegion: region.index)
            region.size = region.index == CVFIO_PCI_CONFIG_REGION_INDEX ? 256 : 8192
            if region.index == CVFIO_PCI_BAR0_REGION_INDEX { region.flags |= CVFIO_REGION_INFO_FLAG_MMAP }
        }
        let device = try device()
        let bar = try device.makeGuestBAR(.bar0, of: machine(), slots: 0x1_0007...)
        try bar.map(at: 0x1_c000_0000)
        try closeAll(bar, device)
        let slots = asked.slots.withLock { $0 }
        #expect(slots.map(\.slot) == [0x1_0007, 0x1_0007])
        #expect(slots.map(\.memory_size) == [8192, 0])
        #expect(slots.first?.guest_phys_addr == 0x1_c000_0000)
        // A BAR that cannot be written is not for the guest to write.
        #expect(slots.first?.flags == CKVM_MEM_READONLY)
        #expect(kernel.mappedLengths.isEmpty)
    }

    @Test func theMSIXTableOfAMediatedDeviceIsNoMemoryEither() throws {
        let uuid: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
        // A capability list with MSI-X, whose table is in the second page of BAR 0.
        let kernel = ScriptedKernel.machine(
            config: .config([0x06: 0x10, 0x34: 0x40, 0x40: 0x11, 0x45: 0x10, 0x49: 0x18]))
        kernel.addFolder("/sys/bus/mdev/devices/\(uuid)", ["vfio-dev"])
        kernel.addFolder("/sys/bus/mdev/devices/\(uuid)/vfio-dev", ["vfio0"])
        let device = try Device(mediated: uuid, in: try AddressSpace(.iommufd, kernel: kernel))
        #expect(try device.guestPieces(of: .bar0) == [0..<4096])
        try device.close()
    }

    // MARK: Events

    @Test func aDoorbellBeginsAndEndsWithItsWidth() throws {
        let machine = try machine()
        let device = try device()
        let doorbell = try machine.makeIOEventFD(
            try device.makeIOEventFD(UInt16(0xfffe), at: 0x10, of: .bar0), at: 0xc000_0010)
        try closeAll(doorbell, device)
        #expect(asked.doorbellWidths.withLock { $0 } == [2, 2])
    }

    @Test func aDoorbellIsWhereAWriteOfItsWidthCanBe() throws {
        let machine = try machine()
        let device = try device()
        let failure = error {
            _ = try machine.makeIOEventFD(try device.makeIOEventFD(UInt32(1), at: 0x10, of: .bar0), at: 0xc000_0012)
        }
        #expect(failure?.code == .misaligned)
        #expect(asked.doorbellWidths.withLock { $0.isEmpty })
        // The event ended with the attempt.
        try device.close()
        #expect(kernel.openNames.contains("eventfd") == false)
    }

    // MARK: Memory

    private final class Guest: Sendable {
        let memory: GuestMemory
        init(_ memory: consuming GuestMemory) { self.memory = memory }
    }

    /// Pinning takes its time, in which the guest runs on.
    @Test func memoryIsReachedWhileMoreIsAdded() throws {
        let guest = Guest(
            try GuestMemory([.new(at: 0, byteCount: 4096)], in: try AddressSpace(.iommufd, kernel: kernel)))
        let seen = Mutex<[Int]>([])
        kernel.accept(CIOMMU_IOAS_MAP, ciommu_ioas_map.self) { [weak guest] _ in
            seen.withLock { $0.append(guest?.memory.ranges.count ?? 0) }
        }
        try guest.memory.add([.new(at: 0x1000, byteCount: 4096), .new(at: 0x2000, byteCount: 4096)])
        #expect(seen.withLock { $0 } == [1, 1])
        #expect(guest.memory.ranges.count == 3)
    }

    @Test func memoryThatIsNotUnmappedIsFreedAllTheSame() throws {
        do {
            let memory = try GuestMemory(
                [.new(at: 0, byteCount: 4096), .new(at: 0x1000, byteCount: 4096)],
                in: try AddressSpace(.iommufd, kernel: kernel))
            let count = Mutex(0)
            kernel.answer(CIOMMU_IOAS_UNMAP, ciommu_ioas_unmap.self) { (_) throws(Errno) in
                count.withLock { $0 += 1 }
                throw .ioError
            }
            let failure = closingError(memory)
            #expect(failure?.errno == .ioError)
            #expect(count.withLock { $0 } == 2)
        }
        #expect(kernel.mappedLengths.isEmpty)
    }
}

private func closingError(_ device: consuming Device) -> VFIOError? {
    do throws(VFIOError) {
        try device.close()
        return nil
    } catch { return error }
}

private func closingError(_ memory: consuming GuestMemory) -> VFIOError? {
    do throws(VFIOError) {
        try memory.close()
        return nil
    } catch { return error }
}
