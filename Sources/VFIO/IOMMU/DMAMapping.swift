/// Memory of the caller, mapped into an address space until this value is closed or deinitialized.
public struct DMAMapping: ~Copyable, Sendable {
    /// The address space that the memory is mapped into.
    public let space: AddressSpace
    /// The address of the first byte for the devices.
    public let iova: IOVA
    /// The length in bytes.
    public let byteCount: UInt64
    private var isOpen = true

    init(space: AddressSpace, iova: IOVA, byteCount: UInt64) {
        self.space = space
        self.iova = iova
        self.byteCount = byteCount
    }

    /// Unmaps the memory and throws the kernel's error.
    /// The corresponding requests are `VFIO_IOMMU_UNMAP_DMA` and `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try space.unmap(iova, byteCount: byteCount, operation: "unmap memory")
    }

    /// Unmaps the memory with the given closure.
    ///
    /// After an error the IOVA range stays reserved, since a device may still access it.
    consuming func close(_ unmap: () throws(VFIOError) -> Void) throws(VFIOError) {
        isOpen = false
        try unmap()
        space.releaseAddresses(at: iova)
    }

    deinit {
        // A deinit cannot throw; callers that need the error call close().
        if isOpen { try? space.unmap(iova, byteCount: byteCount, operation: "unmap memory") }
    }
}
