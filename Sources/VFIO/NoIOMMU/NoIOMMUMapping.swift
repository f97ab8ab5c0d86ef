/// Memory of the caller, pinned for devices without an IOMMU until this value is closed or deinitialized.
///
/// It consists of physically contiguous ranges of a page or more. The physical addresses are valid while a device is
/// open in the address space: after the last one was closed and another one opened, get them again.
public struct NoIOMMUMapping: ~Copyable, Sendable {
    /// The address space that it belongs to.
    public let space: NoIOMMUAddressSpace
    private let mapping: DMAMapping

    init(space: NoIOMMUAddressSpace, mapping: consuming DMAMapping) {
        self.space = space
        self.mapping = mapping
    }

    /// The length in bytes.
    public var byteCount: UInt64 { mapping.byteCount }

    /// Returns the physically contiguous range that begins at an offset and ends within this mapping.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Parameter byteOffset: From the start of the mapping.
    /// - Throws: `.noDevice` while no device is open in the address space, `.outOfRange`, `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public func physicalRange(at byteOffset: UInt64 = 0) throws(VFIOError) -> PhysicalRange {
        try space.physicalRange(at: byteOffset, of: mapping.iova, byteCount)
    }

    /// Returns all physical ranges of the mapping, in its order.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Throws: As ``physicalRange(at:)``.
    public func physicalRanges() throws(VFIOError) -> [PhysicalRange] {
        try space.physicalRanges(of: mapping.iova, byteCount)
    }

    /// Unpins the memory and throws the kernel's error. Stop all DMA to it before.
    /// The corresponding request is `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) { try mapping.close() }
}
