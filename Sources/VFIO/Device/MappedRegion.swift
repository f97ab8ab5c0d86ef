/// A BAR of a device, mapped for the CPU (`mmap(2)` of the device), until the end of this value's life.
///
/// ```swift
/// let bar = try device.map(.bar2)
/// bar.memory.write32(1, at: 0x10)
/// ```
///
/// It keeps the device open. While memory decode of the device is off, a touch ends the process with `SIGBUS`: the kernel
/// takes the memory away meanwhile, and user space cannot be told.
@safe
public struct MappedRegion: ~Copyable, @unchecked Sendable {
    /// Which region of the device it is.
    public let index: RegionIndex
    /// Where in the region the mapping begins, in bytes.
    public let offset: UInt64
    let bytes: UnsafeMutableRawBufferPointer
    private let mapping: RegionMapping

    init(index: RegionIndex, offset: UInt64, mapping: consuming RegionMapping) {
        self.index = index
        self.offset = offset
        unsafe self.bytes = unsafe mapping.bytes
        self.mapping = mapping
    }

    /// The length in bytes.
    public var byteCount: Int { unsafe bytes.count }

    /// The mapped memory: each access is one load or store.
    public var memory: DeviceMemory {
        @_lifetime(borrow self)
        borrowing get {
            let view = unsafe DeviceMemory(base: bytes.baseAddress!, byteCount: bytes.count)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// The memory by its address, for interfaces that want a pointer, such as a KVM memory slot.
    @unsafe
    public var unsafeBytes: UnsafeMutableRawBufferPointer { unsafe bytes }

    /// Unmaps the region and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try mapping.close()
    }
}
