internal import Synchronization
package import SystemPackage

/// An object, such as a virtual machine, that VFIO files are registered with before the device is opened.
package protocol FileRegistrar: AnyObject, Sendable {
    /// Adds a file: an open device's, or its group's.
    ///
    /// - Parameter subject: The owner of the file, for errors.
    func add(_ file: FileDescriptor, subject: String) throws(VFIOError)

    /// Removes a file.
    func remove(_ file: FileDescriptor, subject: String) throws(VFIOError)
}

/// The files of an address space's devices that are registered with virtual machines: a device's own, or its group's.
///
/// KVM holds a reference to a registered file, so each is removed before its descriptor is closed. A group's file
/// represents all of its devices, and is removed with the last of them.
package final class RegisteredFiles: Sendable {
    private struct Entry: Sendable {
        let registrar: any FileRegistrar
        var count: Int
    }

    private let entries = Mutex<[Int32: Entry]>([:])

    package func add(_ file: FileDescriptor, to registrar: any FileRegistrar, subject: String) throws(VFIOError) {
        try entries.withLock { (entries) throws(VFIOError) in
            if let known = entries[file.rawValue] {
                // The kernel would silently replace the first registrar by the second.
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
        // Outside of the lock: this may be the last reference, whose deinit closes descriptors.
        withExtendedLifetime(last) {}
    }
}
