/// Memory that the CPU and devices share: owned, mapped, and gone from both at the end of this value's life.
///
/// ```swift
/// let buffer = try space.allocate(byteCount: 4096)
/// buffer.write32(0xC0FFEE, at: 0)
/// // … tell a device to read at buffer.iova
/// ```
@safe
public struct DMABuffer: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// Where the devices see the memory.
    public let iova: IOVA
    /// The first byte, for interfaces that want a pointer. Not valid beyond the buffer's life, and not protected against a
    /// device that writes meanwhile.
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    /// The length in bytes: what was asked for, rounded up to whole pages.
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

    /// Unmaps and frees the memory, and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try allocation.close()
    }
}
