internal import SystemPackage
internal import VFIO

/// A range of guest physical addresses, and the process memory behind it.
/// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
struct MemorySlot {
    /// The number of the slot; the bits from 16 on are the machine's address space.
    let number: UInt32
    let guestAddress: GuestAddress
    /// In bytes, page-aligned like both addresses.
    let byteCount: UInt64
    let address: UInt64
    let isWritable: Bool
}

extension VirtualMachine {
    func set(_ slot: MemorySlot, operation: String, subject: String) throws(VFIOError) {
        let request = ABI.setMemorySlot(
            slot.number, at: slot.guestAddress.rawValue, byteCount: slot.byteCount, address: slot.address,
            isWritable: slot.isWritable)
        try request.perform(
            on: self, operation, "\(subject) at \(slot.guestAddress) (slot \(slot.number))",
            refusals: [
                .fileExists: (.alreadyMapped, "another slot of the machine covers part of these guest addresses"),
                .invalidArgument: (
                    .invalidArgument,
                    "the slot is in use for something else, the machine has none of this number, or its addresses end "
                        + "before"
                ),
            ])
    }

    func removeSlot(_ number: UInt32, operation: String, subject: String) throws(VFIOError) {
        try ABI.setMemorySlot(number).perform(on: self, operation, "\(subject) (slot \(number))")
    }
}
