/// A BAR of a device, mapped for the CPU (`mmap(2)` of the device) until this value is closed or deinitialized.
///
/// ```swift
/// let bar = try device.map(.bar2)
/// bar.write32(1, at: 0x10)
/// ```
///
/// It keeps the device open. While memory decode of the device is off, an access ends the process with `SIGBUS`: the
/// kernel removes the memory from the mapping, without a notification to user space. A write to a region that is only
/// for reading (``RegionInfo/isWritable``) ends it with `SIGSEGV`.
@safe
public struct MappedRegion: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// The region.
    public let index: RegionIndex
    /// The start of the mapping in the region, in bytes.
    public let offset: UInt64
    /// The first byte of the mapping, for interfaces that take a pointer, such as a KVM memory slot. Valid while the
    /// region is mapped.
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

    /// Unmaps the region and throws the kernel's error.
    public consuming func close() throws(VFIOError) {
        try mapping.close()
    }
}
