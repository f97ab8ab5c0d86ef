internal import SystemPackage

/// Memory that the CPU and devices share: owned, mapped, and gone from both at the end of this value's life.
///
/// ```swift
/// let buffer = try space.allocate(byteCount: 4096)
/// buffer.write32(0xC0FFEE, at: 0)
/// // … tell a device to read at buffer.iova
/// ```
@safe
public struct DMABuffer: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// The address space that the memory is mapped into.
    public let space: AddressSpace
    /// Where the devices see the memory.
    public let iova: IOVA
    /// The first byte, for interfaces that want a pointer. Not valid beyond the buffer's life, and not protected against a
    /// device that writes meanwhile.
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    /// The length in bytes: what was asked for, rounded up to whole pages.
    public let byteCount: Int
    private var isMapped = true

    init(space: AddressSpace, memory: UnsafeMutableRawBufferPointer, iova: IOVA) {
        self.space = space
        self.iova = iova
        unsafe self.unsafeBaseAddress = memory.baseAddress!
        self.byteCount = memory.count
    }

    /// A view of the memory.
    public var memory: DeviceMemory {
        @_lifetime(borrow self)
        borrowing get {
            let view = unsafe DeviceMemory(base: unsafeBaseAddress, byteCount: byteCount)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    /// Unmaps and frees the memory, and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isMapped = false
        try unmapAndFree()
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        if isMapped { try? unmapAndFree() }
    }

    private borrowing func unmapAndFree() throws(VFIOError) {
        // The memory is freed even when the unmapping fails: the kernel has pinned the pages that a device can reach,
        // and their addresses in the address space stay taken.
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: unsafeBaseAddress, count: byteCount)
        var failure: VFIOError?
        do throws(VFIOError) {
            try space.unmap(iova, byteCount: UInt64(byteCount), operation: "unmap a DMA buffer")
        } catch {
            failure = error
        }
        do throws(Errno) {
            try unsafe space.kernel.unmap(bytes)
        } catch {
            failure =
                failure
                ?? VFIOError(
                    .kernel, "free a DMA buffer (munmap)", unsafe AddressSpace.describe(.init(bytes)), errno: error)
        }
        if let failure { throw failure }
    }
}
