internal import Synchronization
internal import SystemPackage

/// An object of an iommufd, destroyed when its owner has closed it and nothing uses it any more.
package final class IOMMUFDObject: Sendable {
    package let space: AddressSpace
    package let file: IOMMUFDFile
    package let id: UInt32
    /// The name of the object, for errors.
    private let name: String
    /// What must outlive it: its device, or other objects, which the kernel destroys only after this one. Released
    /// after the deinit has destroyed this object.
    private let parents: [any AnyObject & Sendable]
    private let isOpen = Mutex(true)

    package init(
        _ id: UInt32, _ name: String, of space: AddressSpace, in file: IOMMUFDFile,
        holding parents: [any AnyObject & Sendable] = []
    ) {
        self.id = id
        self.name = name
        self.space = space
        self.file = file
        self.parents = parents
    }

    /// Destroys the object.
    package func close() throws(VFIOError) {
        try attempt(
            ABI.Call.destroy.operation("destroy \(name)"), "object \(id)",
            refusals: [.resourceBusy: (.inUse, "something still uses it")], destroy())
    }

    private func destroy() throws(Errno) {
        try isOpen.withLock { (isOpen) throws(Errno) in
            guard isOpen else { return }
            do throws(Errno) {
                try ABI.destroy(id).perform(on: file)
            } catch {
                // The object no longer exists, and its ID may be reused; do not destroy that other object later.
                if error == .noSuchFileOrDirectory { isOpen = false }
                throw error
            }
            isOpen = false
        }
    }

    deinit { try? destroy() }
}
