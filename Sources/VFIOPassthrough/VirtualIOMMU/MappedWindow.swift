internal import SystemPackage
public import VFIO

/// Registers of a ``VirtualIOMMU``, mapped for the CPU (`mmap(2)` of the iommufd) until this value is closed or
/// deinitialized. For a guest, they become a KVM memory slot.
///
/// It keeps the virtual IOMMU open.
@safe
public struct MappedWindow: ~Copyable, VolatileMemory, @unchecked Sendable {
    /// The first byte of the mapping. Valid while the window is mapped.
    @unsafe public let unsafeBaseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    // Released after the deinit has unmapped, so that the object is not destroyed before.
    private let object: IOMMUFDObject
    private var isOpen = true

    init(_ window: VirtualIOMMU.Window, of object: IOMMUFDObject) throws(VFIOError) {
        let operation = "map registers of a virtual IOMMU (mmap)"
        let kernel = object.file.kernel
        let pageSize = UInt64(kernel.pageSize)
        guard let byteCount = Int(exactly: window.byteCount), byteCount > 0,
            window.byteCount.isAligned(to: pageSize), window.offset.isAligned(to: pageSize)
        else {
            throw VFIOError(.misaligned, operation, "\(window.byteCount) bytes", hint: "it consists of whole pages")
        }
        let request = MemoryMapRequest(
            byteCount: byteCount, source: .file(object.file.descriptor, offset: window.offset))
        unsafe unsafeBaseAddress = try unsafe attempt(
            operation, "the virtual IOMMU",
            refusals: [.noSuchAddressOrDevice: (.kernel, "it is mapped as a whole, where the kernel has put it")],
            kernel.map(request))
        self.byteCount = byteCount
        self.object = object
        unsafe BARAddresses.insert(bytes, owner: .virtualIOMMU)
    }

    private var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: unsafeBaseAddress, count: byteCount)
    }

    /// Unmaps the registers and throws the kernel's error.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try attempt("unmap registers of a virtual IOMMU (munmap)", "\(byteCount) bytes", unmap())
    }

    deinit {
        if isOpen { try? unmap() }
    }

    private borrowing func unmap() throws(Errno) {
        unsafe BARAddresses.remove(bytes)
        try unsafe object.file.kernel.unmap(bytes)
    }
}
