/// Memory that the CPU and devices without an IOMMU share: owned, pinned, and gone at the end of this value's life.
///
/// Its pages have physical addresses, in pieces of a page or more. They hold as long as a device is open in the address
/// space: after the last one was closed and another one opened, ask again.
@safe
public struct NoIOMMUBuffer: ~Copyable, VolatileMemory, Sendable {
    /// The address space that it belongs to.
    public let space: NoIOMMUAddressSpace
    private let buffer: DMABuffer

    init(space: NoIOMMUAddressSpace, buffer: consuming DMABuffer) {
        self.space = space
        self.buffer = buffer
    }

    /// The length in bytes: what was asked for, rounded up to whole pages.
    public var byteCount: Int { buffer.byteCount }

    /// The first byte, for interfaces that want a pointer. Not valid beyond the buffer's life, and not protected against a
    /// device that writes meanwhile.
    @unsafe public var unsafeBaseAddress: UnsafeMutableRawPointer { unsafe buffer.unsafeBaseAddress }

    /// The piece of physical memory that begins at an offset, as far as it goes in this buffer.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    ///
    /// - Parameter byteOffset: From the start of the buffer.
    /// - Throws: `.noDevice` while no device is open in the address space, `.outOfRange`, `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public func physicalRange(at byteOffset: UInt64 = 0) throws(VFIOError) -> PhysicalRange {
        try space.physicalRange(at: byteOffset, of: buffer.iova, UInt64(byteCount))
    }

    /// All pieces of physical memory that the buffer consists of, in its order.
    ///
    /// - Throws: As ``physicalRange(at:)``.
    public func physicalRanges() throws(VFIOError) -> [PhysicalRange] {
        try space.physicalRanges(of: buffer.iova, UInt64(byteCount))
    }

    /// Unpins and frees the memory, and reports what the kernel said. Devices have to be done with it.
    public consuming func close() throws(VFIOError) { try buffer.close() }
}
