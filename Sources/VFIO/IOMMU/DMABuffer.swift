/// Memory that the CPU and devices share: owned, and mapped until this value is closed or deinitialized.
///
/// ```swift
/// let buffer = try space.allocate(byteCount: 4096)
/// buffer.write32(0xC0FFEE, at: 0)
/// // … tell a device to read at buffer.iova
/// ```
@safe
public struct DMABuffer: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// The address of the first byte for the devices.
    public let iova: IOVA
    /// The first byte, for interfaces that take a pointer. Valid while the buffer is open; a device may write at any
    /// time.
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    /// The length in bytes: the requested size, rounded up to whole pages.
    public let byteCount: Int
    private let allocation: DMAAllocation

    init(_ allocation: consuming DMAAllocation) {
        iova = allocation.iova
        unsafe unsafeBaseAddress = allocation.bytes.baseAddress!
        byteCount = unsafe allocation.bytes.count
        self.allocation = allocation
    }

    /// The address space that the memory is mapped into.
    public var space: AddressSpace { allocation.space }

    /// Unmaps and frees the memory, and throws the kernel's error.
    /// The corresponding requests are `VFIO_IOMMU_UNMAP_DMA` and `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) {
        try allocation.close()
    }
}
