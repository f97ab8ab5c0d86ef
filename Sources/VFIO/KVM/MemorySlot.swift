internal import CVFIO
internal import SystemPackage

/// A piece of a guest's physical addresses, and the memory of this process behind it (`KVM_SET_USER_MEMORY_REGION`).
struct MemorySlot {
    /// The number of the slot; in the bits from 16 on the machine's address space.
    let number: UInt32
    let guestAddress: GuestAddress
    /// In bytes, page-aligned as both addresses are.
    let byteCount: UInt64
    let address: UInt64
    let isWritable: Bool
}

extension VirtualMachine {
    func set(_ slot: MemorySlot, operation: String, subject: String) throws(VFIOError) {
        var request = ckvm_userspace_memory_region()
        request.slot = slot.number
        request.flags = slot.isWritable ? 0 : CKVM_MEM_READONLY
        request.guest_phys_addr = slot.guestAddress.rawValue
        request.memory_size = slot.byteCount
        request.userspace_addr = slot.address
        do throws(Errno) {
            _ = try kernel.control(descriptor, CKVM_SET_USER_MEMORY_REGION, with: &request)
        } catch {
            let request = "\(operation) (KVM_SET_USER_MEMORY_REGION)"
            let place = "\(subject) at \(slot.guestAddress) (slot \(slot.number))"
            throw switch error {
            case .fileExists:
                VFIOError(
                    .alreadyMapped, request, place, errno: error,
                    hint: "another slot of the machine covers part of these guest addresses")
            case .invalidArgument:
                VFIOError(
                    .invalidArgument, request, place, errno: error,
                    hint: "the slot is in use for something else, the machine has none of this number, or its "
                        + "addresses end before")
            default: failure(request, place, error)
            }
        }
    }

    func removeSlot(_ number: UInt32, operation: String, subject: String) throws(VFIOError) {
        var request = ckvm_userspace_memory_region()
        request.slot = number
        do throws(Errno) {
            _ = try kernel.control(descriptor, CKVM_SET_USER_MEMORY_REGION, with: &request)
        } catch {
            throw failure("\(operation) (KVM_SET_USER_MEMORY_REGION)", "\(subject) (slot \(number))", error)
        }
    }
}
