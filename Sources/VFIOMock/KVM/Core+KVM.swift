internal import CVFIO
import SystemPackage
import VFIO

extension Core {
    /// Requests on `/dev/kvm`.
    func kvmControl(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CKVM_GET_API_VERSION:
            if argument.value != 0 { throw .invalidArgument }
            return 12
        case CKVM_CREATE_VM:
            if argument.value != 0 { throw .invalidArgument }
            return Int(try makeFile(.virtualMachine(VirtualMachineFile())).1.rawValue)
        // So the part of KVM that knows the processor answers.
        default: throw .invalidArgument
        }
    }

    /// Requests on a virtual machine.
    func virtualMachineControl(
        _ machine: VirtualMachineFile, _ file: OpenFile, _ request: UInt, _ argument: Argument
    ) throws(Errno) -> Int {
        switch request {
        case CKVM_CREATE_DEVICE: try createDevice(machine, file, argument)
        case CKVM_CREATE_IRQCHIP:
            if machine.hasInterruptController { throw .fileExists }
            machine.hasInterruptController = true
        case CKVM_SET_USER_MEMORY_REGION: try setSlot(machine, argument)
        case CKVM_IRQFD: try setInterrupt(machine, argument)
        case CKVM_IOEVENTFD: try setDoorbell(machine, argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    // MARK: Memory slots

    private func setSlot(_ machine: VirtualMachineFile, _ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_userspace_memory_region())
        let page = UInt64(host.pageSize)
        let (size, guest) = (request.memory_size, request.guest_phys_addr)
        let userEnd: UInt64 = 0x7fff_ffff_f000
        if request.slot & 0xffff >= Self.slotCount
            || request.flags & ~(CKVM_MEM_LOG_DIRTY_PAGES | CKVM_MEM_READONLY) != 0
            || size % page != 0 || guest % page != 0 || request.userspace_addr % page != 0
            || request.userspace_addr > userEnd || size > userEnd - request.userspace_addr
            || request.slot >> 16 >= Self.addressSpaceCount
            || guest.addingReportingOverflow(size).overflow || size / page > Self.mostPages
        {
            throw .invalidArgument
        }
        let old = machine.slots[request.slot]
        if size == 0 {
            if old == nil { throw .invalidArgument }
            machine.slots[request.slot] = nil
            return
        }
        if let old {
            // A slot may be moved, and no more.
            if old.address != request.userspace_addr || old.byteCount != size
                || (old.flags ^ request.flags) & CKVM_MEM_READONLY != 0
            {
                throw .invalidArgument
            }
        }
        let isElsewhere = machine.slots.contains { number, slot in
            number != request.slot && number >> 16 == request.slot >> 16
                && slot.guestAddress < guest + size && guest < slot.guestAddress + slot.byteCount
        }
        if isElsewhere { throw .fileExists }
        if guest + size > 1 << 52 { throw .invalidArgument }
        machine.slots[request.slot] = .init(
            guestAddress: guest, byteCount: size, address: request.userspace_addr, flags: request.flags)
    }

    /// Those of x86: the numbers that KVM leaves to user space, its address spaces, and the pages of a slot.
    private static var slotCount: UInt32 { 32764 }
    private static var addressSpaceCount: UInt32 { 2 }
    private static var mostPages: UInt64 { 1 << 31 - 1 }

    // MARK: Events

    private func setInterrupt(_ machine: VirtualMachineFile, _ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_irqfd())
        if request.flags & ~(CKVM_IRQFD_FLAG_DEASSIGN | CKVM_IRQFD_FLAG_RESAMPLE) != 0 { throw .invalidArgument }
        if request.flags & CKVM_IRQFD_FLAG_DEASSIGN != 0 {
            let identity = try EventDescriptor(Int32(bitPattern: request.fd)).identity
            machine.interrupts.removeAll { $0.event.identity == identity && $0.line == request.gsi }
            return
        }
        guard machine.hasInterruptController else { throw .invalidArgument }
        let event = try EventDescriptor(Int32(bitPattern: request.fd))
        let resample =
            request.flags & CKVM_IRQFD_FLAG_RESAMPLE == 0
            ? nil : try EventDescriptor(Int32(bitPattern: request.resamplefd))
        // Of any machine.
        let identity = event.identity
        for case .virtualMachine(let other) in files.values.map(\.object)
        where other.interrupts.contains(where: { $0.event.identity == identity }) {
            throw .resourceBusy
        }
        machine.interrupts.append(.init(event: event, line: request.gsi, resample: resample))
        machine.takeInterrupts()
    }

    private func setDoorbell(_ machine: VirtualMachineFile, _ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_ioeventfd())
        let value = request.flags & CKVM_IOEVENTFD_FLAG_DATAMATCH == 0 ? nil : request.datamatch
        let isPort = request.flags & CKVM_IOEVENTFD_FLAG_PIO != 0
        if request.flags & CKVM_IOEVENTFD_FLAG_DEASSIGN != 0 {
            let identity = try EventDescriptor(request.fd).identity
            let index = machine.doorbells.firstIndex {
                $0.event.identity == identity && $0.address == request.addr && $0.width == request.len
                    && $0.value == value && $0.isPort == isPort
            }
            guard let index else { throw .noSuchFileOrDirectory }
            machine.doorbells.remove(at: index)
            return
        }
        // Bit 3 is for a bus of another architecture, which the kernel takes on any.
        let known =
            CKVM_IOEVENTFD_FLAG_DATAMATCH | CKVM_IOEVENTFD_FLAG_PIO | CKVM_IOEVENTFD_FLAG_DEASSIGN | 1 << 3
        if ![0, 1, 2, 4, 8].contains(request.len)
            || request.addr.addingReportingOverflow(UInt64(request.len)).overflow || request.flags & ~known != 0
            || request.len == 0 && value != nil
        {
            throw .invalidArgument
        }
        let event = try EventDescriptor(request.fd)
        let isTaken = machine.doorbells.contains { other in
            other.isPort == isPort && other.address == request.addr
                && (other.width == 0 || request.len == 0
                    || other.width == request.len && (other.value == nil || value == nil || other.value == value))
        }
        if isTaken { throw .fileExists }
        machine.doorbells.append(
            .init(event: event, address: request.addr, width: request.len, value: value, isPort: isPort))
    }

    // MARK: The kvm-vfio device

    private func createDevice(_ machine: VirtualMachineFile, _ file: OpenFile, _ argument: Argument) throws(Errno) {
        var request = try argument.load(ckvm_create_device())
        guard request.type == CKVM_DEV_TYPE_VFIO else { throw .operationNotSupportedByDevice }
        if request.flags & CKVM_CREATE_DEVICE_TEST != 0 { return try argument.store(request) }
        if machine.bridge != nil { throw .resourceBusy }
        let bridge = KVMVFIOFile(machine, file)
        let (_, descriptor) = try makeFile(.kvmVFIO(bridge))
        hold(file)
        machine.bridge = bridge
        request.fd = UInt32(bitPattern: descriptor.rawValue)
        try argument.store(request)
    }

    func kvmVFIOControl(_ bridge: KVMVFIOFile, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CKVM_SET_DEVICE_ATTR, CKVM_HAS_DEVICE_ATTR: break
        case CKVM_GET_DEVICE_ATTR: throw .notPermitted
        default: throw .inappropriateIOCTLForDevice
        }
        let attribute = try argument.load(ckvm_device_attr())
        guard attribute.group == CKVM_DEV_VFIO_FILE,
            attribute.attr == CKVM_DEV_VFIO_FILE_ADD || attribute.attr == CKVM_DEV_VFIO_FILE_DEL
        else { throw .noSuchAddressOrDevice }
        if request == CKVM_HAS_DEVICE_ATTR { return 0 }
        guard ProcessMemory.isMapped(attribute.addr, 4, writable: false) else { throw .badAddress }
        var number: Int32 = 0
        unsafe withUnsafeMutableBytes(of: &number) { unsafe ProcessMemory.read(attribute.addr, into: $0) }
        if attribute.attr == CKVM_DEV_VFIO_FILE_ADD {
            try add(number, to: bridge)
        } else {
            try remove(number, from: bridge)
        }
        return 0
    }

    private func add(_ number: Int32, to bridge: KVMVFIOFile) throws(Errno) {
        guard let file = try openFile(number) else { throw .invalidArgument }
        switch file.object {
        case .group: break
        // Before 6.6 only groups.
        case .device where !isOld: break
        default: throw .invalidArgument
        }
        if bridge.files.contains(where: { $0 === file }) { throw .fileExists }
        hold(file)
        bridge.files.append(file)
    }

    private func remove(_ number: Int32, from bridge: KVMVFIOFile) throws(Errno) {
        guard let file = try openFile(number), let index = bridge.files.firstIndex(where: { $0 === file }) else {
            throw .noSuchFileOrDirectory
        }
        bridge.files.remove(at: index)
        unhold(file)
    }

    /// The file of the mock behind a descriptor; `nil` for one of the host's. `EBADF` for none.
    private func openFile(_ number: Int32) throws(Errno) -> OpenFile? {
        let descriptor = FileDescriptor(rawValue: number)
        if let file = file(descriptor) { return file }
        try host.close(try host.duplicate(descriptor))
        return nil
    }

    func closeKVMVFIO(_ bridge: KVMVFIOFile) {
        for file in bridge.files { unhold(file) }
        bridge.files = []
        bridge.machine.bridge = nil
        unhold(bridge.machineFile)
    }
}
