internal import Synchronization
internal import SystemPackage

/// An object of an iommufd, destroyed when its owner is gone and nothing uses it any more.
package final class IOMMUFDObject: Sendable {
    package let space: AddressSpace
    package let file: IOMMUFDFile
    package let id: UInt32
    /// What it is, for errors.
    private let name: String
    /// What has to outlive it: other objects, which the kernel destroys only after this one, or the device it is of. Let go of
    /// after the deinit has destroyed it.
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

    /// Destroys it now.
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
                // It is gone, and its number is free for another one, which is not to be destroyed later.
                if error == .noSuchFileOrDirectory { isOpen = false }
                throw error
            }
            isOpen = false
        }
    }

    deinit { try? destroy() }
}
