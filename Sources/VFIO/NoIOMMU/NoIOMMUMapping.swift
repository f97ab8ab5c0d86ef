/// Memory of the caller's, pinned for devices without an IOMMU until the end of this value's life.
///
/// Its pages have physical addresses, in pieces of a page or more. They hold as long as a device is open in the address
/// space: after the last one was closed and another one opened, ask again.
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

    /// The piece of physical memory that begins at an offset, as far as it goes in this mapping.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Parameter byteOffset: From the start of the mapping.
    /// - Throws: `.noDevice` while no device is open in the address space, `.outOfRange`, `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public func physicalRange(at byteOffset: UInt64 = 0) throws(VFIOError) -> PhysicalRange {
        try space.physicalRange(at: byteOffset, of: mapping.iova, byteCount)
    }

    /// All pieces of physical memory that the mapping consists of, in its order.
    ///
    /// - Throws: As ``physicalRange(at:)``.
    public func physicalRanges() throws(VFIOError) -> [PhysicalRange] {
        try space.physicalRanges(of: mapping.iova, byteCount)
    }

    /// Unpins the memory and reports what the kernel said. Devices have to be done with it.
    public consuming func close() throws(VFIOError) { try mapping.close() }
}
