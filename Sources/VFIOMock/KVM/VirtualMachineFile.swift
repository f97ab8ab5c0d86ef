internal import CVFIO

/// A virtual machine: what KVM knows of it, without processors.
final class VirtualMachineFile {
    struct Slot {
        let guestAddress: UInt64
        let byteCount: UInt64
        let address: UInt64
        let flags: UInt32

        var isWritable: Bool { flags & CKVM_MEM_READONLY == 0 }
    }

    /// An eventfd that is an interrupt line of the machine.
    struct Interrupt {
        let event: EventDescriptor
        let line: UInt32
        let resample: EventDescriptor?
        var count: UInt64 = 0
    }

    /// An eventfd that is signalled by a write of the guest.
    struct Doorbell {
        let event: EventDescriptor
        let address: UInt64
        let width: UInt32
        /// `nil` for any value.
        let value: UInt64?
        let isPort: Bool
    }

    /// By their numbers, which hold the address space in their upper bits.
    var slots: [UInt32: Slot] = [:]
    var interrupts: [Interrupt] = []
    var doorbells: [Doorbell] = []
    var hasInterruptController = false
    /// The kvm-vfio device, while it is open.
    var bridge: KVMVFIOFile?

    /// Takes what has come on the interrupts' eventfds, as KVM does as soon as one is signalled.
    func takeInterrupts() {
        for index in interrupts.indices where interrupts[index].event.take() > 0 { interrupts[index].count += 1 }
    }
}
