public import VFIO
public import VFIOPassthrough

/// A virtual machine of the mock's `/dev/kvm`, as ``MockMachine/virtualMachines`` shows it.
public struct MockVirtualMachine: Sendable, Hashable {
    /// A memory slot.
    public struct Slot: Sendable, Hashable {
        /// What the guest reaches.
        public enum Target: Sendable, Hashable {
            /// Memory of the process.
            case memory
            /// A BAR of a device, by its number, from an offset in bytes.
            case bar(Int, of: DeviceAddress, offset: UInt64)
            /// Addresses at which the process has nothing mapped (any more): what should never be.
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

    /// An eventfd that is an interrupt of the machine (`KVM_IRQFD`).
    public struct Interrupt: Sendable, Hashable {
        /// The interrupt line (GSI).
        public let line: UInt32
        /// Whether the guest's acknowledgement is passed on (`KVM_IRQFD_FLAG_RESAMPLE`).
        public let isResampled: Bool
        /// How often the interrupt has come.
        public let count: UInt64

        public init(line: UInt32, isResampled: Bool, count: UInt64) {
            self.line = line
            self.isResampled = isResampled
            self.count = count
        }
    }

    /// An eventfd that is signalled by a guest's write (`KVM_IOEVENTFD`).
    public struct Doorbell: Sendable, Hashable {
        public let guestAddress: GuestAddress
        /// The width of the write in bytes; 0 for any.
        public let width: Int
        /// What has to be written; `nil` for anything.
        public let value: UInt64?

        public init(guestAddress: GuestAddress, width: Int, value: UInt64?) {
            self.guestAddress = guestAddress
            self.width = width
            self.value = value
        }
    }

    /// What the kvm-vfio device was told of.
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

extension MockMachine {
    /// The virtual machines that are open, in the order of their making.
    public var virtualMachines: [MockVirtualMachine] {
        locked { core in core.virtualMachines.map { MockVirtualMachine($0, core) } }
    }

    /// Acknowledges an interrupt as a guest does at its interrupt controller, so that the irqfds of the line with
    /// `KVM_IRQFD_FLAG_RESAMPLE` pass it on to the device.
    ///
    /// - Parameter line: The interrupt line (GSI), of all virtual machines.
    public func acknowledgeInterrupt(_ line: UInt32) {
        locked { core in
            for interrupt in core.virtualMachines.flatMap(\.interrupts) where interrupt.line == line {
                interrupt.resample?.signal()
            }
            core.serveEvents()
        }
    }

    /// Writes as a guest's processor does, for the ioeventfds that take it.
    ///
    /// - Parameters:
    ///   - value: What is written.
    ///   - width: In bytes.
    ///   - address: Where the guest writes, of all virtual machines.
    /// - Returns: Whether an ioeventfd took the write; otherwise it would have been an exit.
    @discardableResult
    public func writeAsGuest(_ value: UInt64, width: Int, at address: GuestAddress) -> Bool {
        locked { core in
            let takers = core.virtualMachines.flatMap(\.doorbells).filter { doorbell in
                !doorbell.isPort && doorbell.address == address.rawValue
                    && (doorbell.width == 0 || Int(doorbell.width) == width) && (doorbell.value ?? value) == value
            }
            for doorbell in takers { doorbell.event.signal() }
            core.serveEvents()
            return !takers.isEmpty
        }
    }
}

extension Core {
    var virtualMachines: [VirtualMachineFile] {
        files.values.sorted { $0.inode < $1.inode }.compactMap { file in
            if case .virtualMachine(let machine) = file.object { machine } else { nil }
        }
    }
}

extension MockVirtualMachine {
    init(_ machine: VirtualMachineFile, _ core: Core) {
        slots = machine.slots.sorted { $0.key < $1.key }.map { number, slot in
            Slot(
                number: number, guestAddress: GuestAddress(slot.guestAddress), byteCount: slot.byteCount,
                isWritable: slot.isWritable, target: core.target(of: slot))
        }
        interrupts = machine.interrupts.map {
            Interrupt(line: $0.line, isResampled: $0.resample != nil, count: $0.count)
        }
        doorbells = machine.doorbells.filter { !$0.isPort }.map {
            Doorbell(guestAddress: GuestAddress($0.address), width: Int($0.width), value: $0.value)
        }
        registrations = (machine.bridge?.files ?? []).compactMap { file in
            switch file.object {
            case .device(let device): .device(device.function.deviceAddress)
            case .group(let group): .group(group.number)
            default: nil
            }
        }
    }
}

extension Core {
    /// What the process has behind a slot, which is looked up at each of the guest's accesses.
    fileprivate func target(of slot: VirtualMachineFile.Slot) -> MockVirtualMachine.Slot.Target {
        let end = slot.address + slot.byteCount
        if let mapping = cpuMappings.first(where: { $0.address <= slot.address && end <= $0.end }) {
            switch mapping.source {
            case .memory: return .memory
            case .bar(let function, let bar, let offset):
                let start = UInt64(offset) + (slot.address - mapping.address)
                return .bar(bar, of: function.deviceAddress, offset: start)
            }
        }
        return ProcessMemory.isMapped(slot.address, slot.byteCount, writable: slot.isWritable) ? .memory : .nothing
    }
}
