/// Memory of the caller's, mapped into an address space until the end of this value's life.
public struct DMAMapping: ~Copyable, Sendable {
    /// The address space that the memory is mapped into.
    public let space: AddressSpace
    /// Where the devices see the memory.
    public let iova: IOVA
    /// The length in bytes.
    public let byteCount: UInt64
    private var isOpen = true

    init(space: AddressSpace, iova: IOVA, byteCount: UInt64) {
        self.space = space
        self.iova = iova
        self.byteCount = byteCount
    }

    /// Unmaps the memory and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try space.unmap(iova, byteCount: byteCount, operation: "unmap memory")
    }

    /// Unmaps the memory in another way.
    ///
    /// After an error the addresses stay taken, since a device may still reach them.
    consuming func close(_ unmap: () throws(VFIOError) -> Void) throws(VFIOError) {
        isOpen = false
        try unmap()
        space.releaseAddresses(at: iova)
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        if isOpen { try? space.unmap(iova, byteCount: byteCount, operation: "unmap memory") }
    }
}
