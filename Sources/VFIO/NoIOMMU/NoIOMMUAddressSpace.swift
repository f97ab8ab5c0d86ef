internal import SystemPackage

/// Devices without an IOMMU, and the memory for their DMA: **nothing protects the machine from them**.
///
/// An IOMMU limits a device to the memory that is mapped for it. Without one, a device can access all of the machine's
/// memory, and one wrong address, by an error in the program or in the device, can overwrite the kernel. The kernel
/// offers this mode only if it is enabled (`enable_unsafe_noiommu_mode`), only to processes with `CAP_SYS_RAWIO`, and
/// taints itself. An ``AddressSpace`` refuses such devices; by creating a `NoIOMMUAddressSpace` a program accepts the
/// risk.
///
/// ```swift
/// let space = try NoIOMMUAddressSpace()
/// let device = try Device(at: "0000:41:01.0", in: space)
/// let buffer = try space.allocate(byteCount: 4096)
/// let start = try buffer.physicalRange().address   // for the device; good while it is open
/// ```
///
/// Registers, config space, interrupts and resets work as with any other device. Operations that need an IOMMU are
/// refused: mapping at an ``IOVA``, mapping dma-bufs, page tables, dirty tracking.
public final class NoIOMMUAddressSpace: Sendable {
    /// The underlying address space: its devices are open there, and its memory is mapped there, at IOVAs that have no
    /// meaning for them.
    let space: AddressSpace

    /// The kernel interface that is in use.
    ///
    /// An iommufd (Linux 7.3) pins memory and reports its physical addresses. A container opens devices, but pins no
    /// memory.
    public var interface: AddressSpace.Interface { space.interface }

    /// - Parameters:
    ///   - interface: The interface to use; `nil` for an iommufd if the kernel supports it, else a container.
    ///   - kernel: The kernel that makes the system calls: Linux, or a mock in a test.
    /// - Throws: `.unsupported` if the kernel lacks this mode, `.permissionDenied` if the user may not open it.
    public init(
        _ interface: AddressSpace.Interface? = nil, kernel: any Kernel = HostKernel()
    ) throws(VFIOError) {
        switch interface {
        case .iommufd: space = try Self.makeIOMMUFD(kernel)
        case .type1: space = try Self.makeContainer(kernel)
        case nil:
            guard !Sysfs(kernel: kernel).lacksCharacterDevices() else {
                space = try Self.makeContainer(kernel)
                return
            }
            do throws(VFIOError) {
                space = try Self.makeIOMMUFD(kernel)
            } catch {
                guard error.code == .unsupported else { throw error }
                space = try Self.makeContainer(kernel)
            }
        }
    }

    private static func makeContainer(_ kernel: any Kernel) throws(VFIOError) -> AddressSpace {
        AddressSpace(try Type1Container(kernel: kernel, isNoIOMMU: true), .type1, kernel: kernel)
    }

    private static func makeIOMMUFD(_ kernel: any Kernel) throws(VFIOError) -> AddressSpace {
        let context = try IOMMUFDContext(in: try IOMMUFDFile(kernel: kernel), isNoIOMMU: true)
        guard try context.knows(.physicalAddresses) else {
            throw VFIOError(
                .unsupported, ABI.Call.getPhysicalAddress.operation("take devices without an IOMMU"),
                "\(IOMMUFDFile.node)",
                hint: "an iommufd takes them since Linux 7.3; NoIOMMUAddressSpace(.type1) may do, without memory")
        }
        return AddressSpace(context, .iommufd, kernel: kernel)
    }

    // MARK: Memory

    /// Allocates memory of this process and pins it, so that it has physical addresses for devices.
    /// The corresponding request is `IOMMU_IOAS_MAP`.
    ///
    /// The memory is zeroed. It is pinned from the first device on, and freed when the buffer is closed or
    /// deinitialized: stop all DMA to it before, since nothing prevents a device from writing to the pages after their
    /// reuse.
    ///
    /// - Parameters:
    ///   - byteCount: The size in bytes, rounded up to whole pages. Greater than 0.
    ///   - pages: The page size. Memory larger than a page is contiguous only by chance, or with huge pages.
    /// - Throws: `.unsupported` with a container, which pins nothing; `.noSpace`, `.limit`.
    public func allocate(byteCount: Int, pages: PageSize = .standard) throws(VFIOError) -> NoIOMMUBuffer {
        let operation = "allocate memory for devices without an IOMMU"
        try requirePinning(operation)
        let buffer = try space.allocate(
            byteCount: byteCount, pages: pages, access: .readWrite, placement: .automatic, operation: operation)
        return NoIOMMUBuffer(space: self, buffer: buffer)
    }

    /// Pins memory that the caller owns, so that it has physical addresses for devices.
    /// The corresponding request is `IOMMU_IOAS_MAP`.
    ///
    /// The pages stay pinned until the mapping is closed or deinitialized, even if the caller unmaps them meanwhile:
    /// then devices and process no longer see the same memory, which is why this is unsafe. Devices can read and write
    /// all of it.
    ///
    /// - Parameter memory: Page-aligned at both ends, ordinary memory, and writable.
    /// - Throws: `.unsupported` with a container, which pins nothing; `.deviceMemory` for a BAR; `.misaligned`,
    ///   `.limit`, `.noSpace`.
    @unsafe
    public func map(_ memory: UnsafeMutableRawBufferPointer) throws(VFIOError) -> NoIOMMUMapping {
        let operation = "pin memory for devices without an IOMMU"
        try requirePinning(operation)
        let mapping = try unsafe space.map(
            memory, access: .readWrite, placement: .automatic, operation: operation)
        return NoIOMMUMapping(space: self, mapping: mapping)
    }

    private func requirePinning(_ operation: String) throws(VFIOError) {
        guard interface == .iommufd else {
            throw VFIOError(
                .unsupported, operation, "a container without IOMMU",
                hint: "it pins no memory and tells no physical address; NoIOMMUAddressSpace(.iommufd) does "
                    + "(Linux 7.3 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV)")
        }
    }

    // MARK: Physical addresses

    /// Returns the contiguous memory that begins at an offset of a mapping.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    func physicalRange(at offset: UInt64, of iova: IOVA, _ byteCount: UInt64) throws(VFIOError) -> PhysicalRange {
        let words = "ask for a physical address"
        let operation = ABI.Call.getPhysicalAddress.operation(words)
        let subject = "byte \(offset) of \(byteCount)"
        guard offset < byteCount else {
            throw VFIOError(.outOfRange, operation, subject, hint: "it lies beyond the end")
        }
        let context = space.backend as? IOMMUFDContext
        guard let context else { throw VFIOError(.unsupported, operation, subject) }
        let rest = byteCount - offset
        let answer = try ABI.getPhysicalAddress(context.ioas, iova.rawValue + offset, byteCount: rest).perform(
            on: context, words, subject,
            refusals: [
                .notSupported: (
                    .noDevice, "memory is pinned while a device is open in the address space; open it first"
                ),
                .notPermitted: (.permissionDenied, "it takes CAP_SYS_RAWIO"),
            ])
        let address = PhysicalAddress(answer.address)
        guard answer.byteCount > 0, answer.byteCount <= rest,
            !answer.address.addingReportingOverflow(answer.byteCount - 1).overflow
        else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject,
                hint: "the kernel told of \(answer.byteCount) bytes at \(address)")
        }
        return PhysicalRange(address: address, byteCount: answer.byteCount)
    }

    func physicalRanges(of iova: IOVA, _ byteCount: UInt64) throws(VFIOError) -> [PhysicalRange] {
        var ranges: [PhysicalRange] = []
        var offset: UInt64 = 0
        while offset < byteCount {
            // Terminates: each range has at least one byte, and at most the remaining ones.
            let range = try physicalRange(at: offset, of: iova, byteCount)
            ranges.append(range)
            offset += range.byteCount
        }
        return ranges
    }
}

extension Device {
    /// Opens a device that has no IOMMU: **it can access all of the machine's memory**.
    /// The corresponding requests are `VFIO_GROUP_GET_DEVICE_FD` and `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// The ``space`` of such a device is the underlying address space of the given one, and refuses to map anything.
    ///
    /// - Parameters:
    ///   - address: The PCI address of the device.
    ///   - space: The address space whose memory the device uses.
    ///   - token: As for any other device.
    /// - Throws: As for any other device; `.unsupported` for one that has an IOMMU; `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public init(
        at address: PCIAddress, in space: NoIOMMUAddressSpace, token: VFToken? = nil
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space.space, token: token)
    }
}
