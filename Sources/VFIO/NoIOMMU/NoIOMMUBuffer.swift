/// Memory that the CPU and devices without an IOMMU share: owned, and pinned until this value is closed or
/// deinitialized.
///
/// It consists of physically contiguous ranges of a page or more. The physical addresses are valid while a device is
/// open in the address space: after the last one was closed and another one opened, get them again.
@safe
public struct NoIOMMUBuffer: ~Copyable, VolatileMemory, Sendable {
    /// The address space that it belongs to.
    public let space: NoIOMMUAddressSpace
    private let buffer: DMABuffer

    init(space: NoIOMMUAddressSpace, buffer: consuming DMABuffer) {
        self.space = space
        self.buffer = buffer
    }

    /// The length in bytes: the requested size, rounded up to whole pages.
    public var byteCount: Int { buffer.byteCount }

    /// The first byte, for interfaces that take a pointer. Valid while the buffer is open; a device may write at any
    /// time.
    @unsafe public var unsafeBaseAddress: UnsafeMutableRawPointer { unsafe buffer.unsafeBaseAddress }

    /// Returns the physically contiguous range that begins at an offset and ends within this buffer.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Parameter byteOffset: From the start of the buffer.
    /// - Throws: `.noDevice` while no device is open in the address space, `.outOfRange`, `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public func physicalRange(at byteOffset: UInt64 = 0) throws(VFIOError) -> PhysicalRange {
        try space.physicalRange(at: byteOffset, of: buffer.iova, UInt64(byteCount))
    }

    /// Returns all physical ranges of the buffer, in its order.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Throws: As ``physicalRange(at:)``.
    public func physicalRanges() throws(VFIOError) -> [PhysicalRange] {
        try space.physicalRanges(of: buffer.iova, UInt64(byteCount))
    }

    /// Unpins and frees the memory, and throws the kernel's error. Stop all DMA to it before.
    /// The corresponding request is `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) { try buffer.close() }
}
