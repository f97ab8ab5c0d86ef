internal import Synchronization
package import SystemPackage

/// What the files of VFIO's devices can be registered with, before a device's driver is told: a virtual machine.
package protocol FileRegistrar: AnyObject, Sendable {
    /// Adds a file: an open device's, or its group's.
    ///
    /// - Parameter subject: Whose file it is, for errors.
    func add(_ file: FileDescriptor, subject: String) throws(VFIOError)

    /// Takes a file out again.
    func remove(_ file: FileDescriptor, subject: String) throws(VFIOError)
}

/// The files of an address space's devices that virtual machines know: a device's own, or its group's.
///
/// KVM holds on to a file that it knows, so each is taken out before its descriptor is closed. A group's file stands for all
/// of its devices, and is taken out with the last of them.
package final class RegisteredFiles: Sendable {
    private struct Entry: Sendable {
        let registrar: any FileRegistrar
        var count: Int
    }

    private let entries = Mutex<[Int32: Entry]>([:])

    package func add(_ file: FileDescriptor, to registrar: any FileRegistrar, subject: String) throws(VFIOError) {
        try entries.withLock { (entries) throws(VFIOError) in
            if let known = entries[file.rawValue] {
                // The kernel would let the second one take the first one's place, without a word.
                guard known.registrar === registrar else {
                    throw VFIOError(
                        .busy, "register with the virtual machine", subject,
                        hint: "it, or its IOMMU group, is registered with another one")
                }
                entries[file.rawValue]?.count += 1
                return
            }
            try registrar.add(file, subject: subject)
            entries[file.rawValue] = Entry(registrar: registrar, count: 1)
        }
    }

    package func remove(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        let last = try entries.withLock { (entries) throws(VFIOError) -> (any FileRegistrar)? in
            guard let known = entries[file.rawValue] else { return nil }
            guard known.count == 1 else {
                entries[file.rawValue]?.count -= 1
                return nil
            }
            entries[file.rawValue] = nil
            try known.registrar.remove(file, subject: subject)
            return known.registrar
        }
        // Outside of the lock: it may be the last reference, whose end closes descriptors.
        withExtendedLifetime(last) {}
    }
}
