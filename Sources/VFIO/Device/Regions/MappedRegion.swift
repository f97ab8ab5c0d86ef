/// A BAR of a device, mapped for the CPU (`mmap(2)` of the device), until the end of this value's life.
///
/// ```swift
/// let bar = try device.map(.bar2)
/// bar.write32(1, at: 0x10)
/// ```
///
/// It keeps the device open. While memory decode of the device is off, a touch ends the process with `SIGBUS`: the kernel
/// takes the memory away meanwhile, and user space cannot be told.
@safe
public struct MappedRegion: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// Which region of the device it is.
    public let index: RegionIndex
    /// Where in the region the mapping begins, in bytes.
    public let offset: UInt64
    /// The first byte of the mapping, for interfaces that want a pointer, such as a KVM memory slot. Not valid beyond the
    /// region's life.
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    private let mapping: RegionMapping

    init(index: RegionIndex, offset: UInt64, mapping: consuming RegionMapping) {
        self.index = index
        self.offset = offset
        unsafe self.unsafeBaseAddress = mapping.bytes.baseAddress!
        self.byteCount = unsafe mapping.bytes.count
        self.mapping = mapping
    }

    /// Unmaps the region and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try mapping.close()
    }
}
