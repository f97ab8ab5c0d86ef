extension AddressSpace {
    /// Maps a BAR into a type1 container by its CPU address, which **permits a use-after-free**.
    /// The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    ///
    /// The kernel reads the BAR's physical address from the page table and maps it in the IOMMU. Afterwards the mapping
    /// does not depend on the BAR's device: that device can be reset, closed, unbound from its driver and bound to
    /// another one, and the devices of this address space can still access its memory. Export the BAR with
    /// ``Device/exportDMABuf(of:ranges:access:)`` and map the dma-buf into an address space of an iommufd instead: the
    /// kernel revokes such a mapping.
    ///
    /// This exists for kernels without dma-buf export (before Linux 6.19), and to demonstrate the hazard.
    ///
    /// - Throws: `.unsupported` with iommufd, where the kernel refuses this (`EFAULT`).
    @unsafe
    public func unsafelyMapWithoutRevocation(
        _ region: borrowing MappedRegion,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        let operation = "map a BAR without revocation"
        try requireIOMMU(for: operation)
        guard interface == .type1 else {
            throw VFIOError(
                .unsupported, operation, "\(region.index)",
                hint: "an iommufd maps a BAR through a dma-buf, and in no other way")
        }
        let memory = unsafe UnsafeRawBufferPointer(start: region.unsafeBaseAddress, count: region.byteCount)
        let iova = try unsafe mapMemory(
            memory, access: access, placement: placement, operation: operation)
        return DMAMapping(space: self, iova: iova, byteCount: UInt64(memory.count))
    }
}
