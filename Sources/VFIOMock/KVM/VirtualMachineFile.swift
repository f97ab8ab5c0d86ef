internal import CVFIO
import SystemPackage
import VFIO

/// A virtual machine without processors.
final class VirtualMachineFile: FileOperations, EventWatcher {
    struct Slot {
        let guestAddress: UInt64
        let byteCount: UInt64
        let address: UInt64
        let flags: UInt32

        var isWritable: Bool { flags & CKVM_MEM_READONLY == 0 }
    }

    /// An interrupt by eventfd.
    struct Interrupt {
        let event: EventDescriptor
        let line: UInt32
        let resample: EventDescriptor?
        var count: UInt64 = 0
    }

    /// An eventfd signalled by a write of the guest.
    struct Doorbell {
        let event: EventDescriptor
        let address: UInt64
        let width: UInt32
        /// `nil` for any value.
        let value: UInt64?
        let isPort: Bool
    }

    /// By their numbers, whose upper bits are the address space.
    var slots: [UInt32: Slot] = [:]
    var interrupts: [Interrupt] = []
    var doorbells: [Doorbell] = []
    var hasInterruptController = false
    /// The kvm-vfio device, while it is open.
    weak var vfio: KVMVFIOFile?
    unowned let kvm: KVM
    private weak var file: OpenFile?

    init(_ kvm: KVM) { self.kvm = kvm }

    /// Counts the signals of the interrupts' eventfds, as KVM does at once.
    func serveEvents() {
        for index in interrupts.indices where interrupts[index].event.take() > 0 { interrupts[index].count += 1 }
    }

    // MARK: As a file

    var kind: MockOpenFile.Kind { .virtualMachine }

    func opened(as file: OpenFile) {
        self.file = file
        kvm.machines.append(self)
    }

    func release() {
        kvm.machines.removeAll { $0 === self }
        kvm.core.setWatching(self, false)
        for interrupt in interrupts { kvm.interruptEvents.remove(interrupt.event.identity) }
    }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CKVM_CREATE_DEVICE: try createDevice(argument)
        case CKVM_CREATE_IRQCHIP:
            if hasInterruptController { throw .fileExists }
            hasInterruptController = true
        case CKVM_SET_USER_MEMORY_REGION: try setSlot(argument)
        case CKVM_IRQFD: try setInterrupt(argument)
        case CKVM_IOEVENTFD: try setDoorbell(argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func createDevice(_ argument: Argument) throws(Errno) {
        var request = try argument.load(ckvm_create_device())
        guard request.type == CKVM_DEV_TYPE_VFIO else { throw .operationNotSupportedByDevice }
        if request.flags & CKVM_CREATE_DEVICE_TEST != 0 { return try argument.store(request) }
        if vfio != nil { throw .resourceBusy }
        guard let file else { throw .badFileDescriptor }
        request.fd = UInt32(bitPattern: try kvm.core.open(KVMVFIOFile(self, file)).rawValue)
        try argument.store(request)
    }

    // MARK: Memory slots

    private func setSlot(_ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_userspace_memory_region())
        let page = UInt64(kvm.core.host.pageSize)
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
        let old = slots[request.slot]
        if size == 0 {
            if old == nil { throw .invalidArgument }
            slots[request.slot] = nil
            return
        }
        // Only the guest's address of a slot may change.
        if let old,
            old.address != request.userspace_addr || old.byteCount != size
                || (old.flags ^ request.flags) & CKVM_MEM_READONLY != 0
        {
            throw .invalidArgument
        }
        let isElsewhere = slots.contains { number, slot in
            number != request.slot && number >> 16 == request.slot >> 16
                && slot.guestAddress < guest + size && guest < slot.guestAddress + slot.byteCount
        }
        if isElsewhere { throw .fileExists }
        if guest + size > 1 << 52 { throw .invalidArgument }
        slots[request.slot] = .init(
            guestAddress: guest, byteCount: size, address: request.userspace_addr, flags: request.flags)
    }

    /// The values of x86.
    private static var slotCount: UInt32 { 32764 }
    private static var addressSpaceCount: UInt32 { 2 }
    private static var mostPages: UInt64 { 1 << 31 - 1 }

    // MARK: Events

    private func setInterrupt(_ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_irqfd())
        if request.flags & ~(CKVM_IRQFD_FLAG_DEASSIGN | CKVM_IRQFD_FLAG_RESAMPLE) != 0 { throw .invalidArgument }
        if request.flags & CKVM_IRQFD_FLAG_DEASSIGN != 0 {
            let identity = try EventDescriptor(Int32(bitPattern: request.fd)).identity
            let count = interrupts.count
            interrupts.removeAll { $0.event.identity == identity && $0.line == request.gsi }
            if interrupts.count < count { kvm.interruptEvents.remove(identity) }
            kvm.core.setWatching(self, !interrupts.isEmpty)
            return
        }
        guard hasInterruptController else { throw .invalidArgument }
        let event = try EventDescriptor(Int32(bitPattern: request.fd))
        let resample =
            request.flags & CKVM_IRQFD_FLAG_RESAMPLE == 0
            ? nil : try EventDescriptor(Int32(bitPattern: request.resamplefd))
        // An eventfd is the interrupt of one machine at most.
        if !kvm.interruptEvents.insert(event.identity).inserted { throw .resourceBusy }
        interrupts.append(.init(event: event, line: request.gsi, resample: resample))
        kvm.core.setWatching(self, true)
        serveEvents()
    }

    private func setDoorbell(_ argument: Argument) throws(Errno) {
        let request = try argument.load(ckvm_ioeventfd())
        let value = request.flags & CKVM_IOEVENTFD_FLAG_DATAMATCH == 0 ? nil : request.datamatch
        let isPort = request.flags & CKVM_IOEVENTFD_FLAG_PIO != 0
        if request.flags & CKVM_IOEVENTFD_FLAG_DEASSIGN != 0 {
            let identity = try EventDescriptor(request.fd).identity
            let index = doorbells.firstIndex {
                $0.event.identity == identity && $0.address == request.addr && $0.width == request.len
                    && $0.value == value && $0.isPort == isPort
            }
            guard let index else { throw .noSuchFileOrDirectory }
            doorbells.remove(at: index)
            return
        }
        // Bit 3 is for another architecture's bus; the kernel accepts it on any.
        let known =
            CKVM_IOEVENTFD_FLAG_DATAMATCH | CKVM_IOEVENTFD_FLAG_PIO | CKVM_IOEVENTFD_FLAG_DEASSIGN | 1 << 3
        if ![0, 1, 2, 4, 8].contains(request.len)
            || request.addr.addingReportingOverflow(UInt64(request.len)).overflow || request.flags & ~known != 0
            || request.len == 0 && value != nil
        {
            throw .invalidArgument
        }
        let event = try EventDescriptor(request.fd)
        let isTaken = doorbells.contains { other in
            other.isPort == isPort && other.address == request.addr
                && (other.width == 0 || request.len == 0
                    || other.width == request.len && (other.value == nil || value == nil || other.value == value))
        }
        if isTaken { throw .fileExists }
        doorbells.append(
            .init(event: event, address: request.addr, width: request.len, value: value, isPort: isPort))
    }
}
