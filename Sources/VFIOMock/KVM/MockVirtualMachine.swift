public import VFIO
public import VFIOPassthrough

/// A virtual machine in ``MockMachine/virtualMachines``.
public struct MockVirtualMachine: Sendable, Hashable {
    /// A memory slot.
    public struct Slot: Sendable, Hashable {
        /// The target of a slot.
        public enum Target: Sendable, Hashable {
            /// Memory of the process.
            case memory
            /// A BAR of a device, by its number, from an offset in bytes.
            case bar(Int, of: DeviceAddress, offset: UInt64)
            /// Addresses where the process has no mapping: a bug of the process.
            case nothing
        }

        /// The number of the slot.
        public let number: UInt32
        public let guestAddress: GuestAddress
        /// The length in bytes.
        public let byteCount: UInt64
        public let isWritable: Bool
        public let target: Target

        public init(
            number: UInt32, guestAddress: GuestAddress, byteCount: UInt64, isWritable: Bool, target: Target
        ) {
            self.number = number
            self.guestAddress = guestAddress
            self.byteCount = byteCount
            self.isWritable = isWritable
            self.target = target
        }
    }

    /// An interrupt by eventfd (`KVM_IRQFD`).
    public struct Interrupt: Sendable, Hashable {
        /// The interrupt line (GSI).
        public let line: UInt32
        /// Whether an acknowledgement is forwarded (`KVM_IRQFD_FLAG_RESAMPLE`).
        public let isResampled: Bool
        /// The number of interrupts so far.
        public let count: UInt64

        public init(line: UInt32, isResampled: Bool, count: UInt64) {
            self.line = line
            self.isResampled = isResampled
            self.count = count
        }
    }

    /// An eventfd signalled by a guest's write (`KVM_IOEVENTFD`).
    public struct Doorbell: Sendable, Hashable {
        public let guestAddress: GuestAddress
        /// The width of the write in bytes; 0 for any.
        public let width: Int
        /// The value that must be written; `nil` for any.
        public let value: UInt64?

        public init(guestAddress: GuestAddress, width: Int, value: UInt64?) {
            self.guestAddress = guestAddress
            self.width = width
            self.value = value
        }
    }

    /// A file added to the kvm-vfio device.
    public enum Registration: Sendable, Hashable {
        /// A device, by its own node.
        case device(DeviceAddress)
        /// An IOMMU group, by its number.
        case group(Int)
    }

    /// In the order of their numbers.
    public let slots: [Slot]
    public let interrupts: [Interrupt]
    public let doorbells: [Doorbell]
    public let registrations: [Registration]
}

extension MockVirtualMachine {
    init(_ machine: VirtualMachineFile) {
        slots = machine.slots.sorted { $0.key < $1.key }.map { number, slot in
            Slot(
                number: number, guestAddress: GuestAddress(slot.guestAddress), byteCount: slot.byteCount,
                isWritable: slot.isWritable, target: machine.target(of: slot))
        }
        interrupts = machine.interrupts.map {
            Interrupt(line: $0.line, isResampled: $0.resample != nil, count: $0.count)
        }
        doorbells = machine.doorbells.filter { !$0.isPort }.map {
            Doorbell(guestAddress: GuestAddress($0.address), width: Int($0.width), value: $0.value)
        }
        registrations = (machine.vfio?.files ?? []).compactMap { file in
            switch file.operations.kind {
            case .device(let address): .device(address)
            case .group(let number): .group(number)
            default: nil
            }
        }
    }
}

extension VirtualMachineFile {
    /// The target of a slot, which is looked up at each of the guest's accesses.
    fileprivate func target(of slot: Slot) -> MockVirtualMachine.Slot.Target {
        if let mapping = kvm.memory.mapping(holding: slot.address, slot.byteCount) {
            switch mapping.source {
            case .memory: return .memory
            case .bar(let target, let bar, let offset):
                let start = UInt64(offset) + (slot.address - mapping.address)
                return .bar(bar, of: target.deviceAddress, offset: start)
            }
        }
        return UserMemory.isMapped(slot.address, slot.byteCount, writable: slot.isWritable) ? .memory : .nothing
    }
}
