extension AddressSpace {
    /// Maps a BAR into a type1 container by its CPU address, which is **a use-after-free waiting to happen**.
    /// The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    ///
    /// The kernel takes the BAR's physical address out of the page table and gives it to the IOMMU. Nothing ties the
    /// mapping to the BAR's device from then on: that device can be reset, closed, unbound from its driver and handed to
    /// somebody else, and the devices of this address space still reach its memory. Export the BAR with
    /// ``Device/exportDMABuf(of:ranges:access:)`` and map the dma-buf into an address space of an iommufd instead: such a
    /// mapping is revoked by the kernel.
    ///
    /// This exists for kernels without that path (dma-buf export: Linux 6.19), and to show the hazard.
    ///
    /// - Throws: `.unsupported` with iommufd, which does not do this at all (`EFAULT`).
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
