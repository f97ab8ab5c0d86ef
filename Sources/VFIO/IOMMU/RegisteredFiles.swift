internal import Synchronization
internal import SystemPackage

/// The files of an address space's devices that virtual machines know: a device's own, or its group's.
///
/// KVM holds on to a file that it knows, so each is taken out before its descriptor is closed. A group's file stands for all
/// of its devices, and is taken out with the last of them.
final class RegisteredFiles: Sendable {
    private struct Entry: Sendable {
        let machine: VirtualMachine
        var count: Int
    }

    private let entries = Mutex<[Int32: Entry]>([:])

    func add(_ file: FileDescriptor, to machine: VirtualMachine, subject: String) throws(VFIOError) {
        try entries.withLock { (entries) throws(VFIOError) in
            if let known = entries[file.rawValue] {
                // The kernel would let the second one take the first one's place, without a word.
                guard known.machine === machine else {
                    throw VFIOError(
                        .busy, "register with the virtual machine", subject,
                        hint: "it, or its IOMMU group, is registered with another one")
                }
                entries[file.rawValue]?.count += 1
                return
            }
            try machine.add(file, subject: subject)
            entries[file.rawValue] = Entry(machine: machine, count: 1)
        }
    }

    func remove(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        let last = try entries.withLock { (entries) throws(VFIOError) -> VirtualMachine? in
            guard let known = entries[file.rawValue] else { return nil }
            guard known.count == 1 else {
                entries[file.rawValue]?.count -= 1
                return nil
            }
            entries[file.rawValue] = nil
            try known.machine.remove(file, subject: subject)
            return known.machine
        }
        // Outside of the lock: it may be the last reference, whose end closes descriptors.
        withExtendedLifetime(last) {}
    }
}
