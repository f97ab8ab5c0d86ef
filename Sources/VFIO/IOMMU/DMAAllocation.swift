internal import SystemPackage

/// The memory of a ``DMABuffer`` and its mapping, freed once.
@safe
struct DMAAllocation: ~Copyable, @unchecked Sendable {
    let space: AddressSpace
    let bytes: UnsafeMutableRawBufferPointer
    let iova: IOVA
    private var isOpen = true

    init(space: AddressSpace, memory: UnsafeMutableRawBufferPointer, iova: IOVA) {
        self.space = space
        unsafe self.bytes = unsafe memory
        self.iova = iova
    }

    consuming func close() throws(VFIOError) {
        isOpen = false
        try unmapAndFree()
    }

    deinit {
        // A deinit cannot throw; callers that need the error call close().
        if isOpen { try? unmapAndFree() }
    }

    private borrowing func unmapAndFree() throws(VFIOError) {
        // The memory is freed even if unmapping fails: the kernel has pinned the pages that a device can access, and
        // the IOVA range stays reserved.
        var failure: VFIOError?
        do throws(VFIOError) {
            try unsafe space.unmap(iova, byteCount: UInt64(bytes.count), operation: "unmap a DMA buffer")
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
