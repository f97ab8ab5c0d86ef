internal import SystemPackage

/// Devices that have no IOMMU, and the memory that they do DMA with: **nothing protects the machine from them**.
///
/// An IOMMU lets a device reach what is mapped for it, and nothing else. Without one, a device reaches all of the machine's
/// memory, and it takes one wrong address, by a mistake in the program or in the device, to overwrite the kernel. The kernel
/// offers this only when it was told to (`enable_unsafe_noiommu_mode`), only to processes with `CAP_SYS_RAWIO`, and marks
/// itself as tainted. An ``AddressSpace`` refuses such devices; making one of these is how a program says that it takes the
/// risk.
///
/// ```swift
/// let space = try NoIOMMUAddressSpace()
/// let device = try Device(at: "0000:41:01.0", in: space)
/// let buffer = try space.allocate(byteCount: 4096)
/// let start = try buffer.physicalRange().address   // for the device; good while it is open
/// ```
///
/// Registers, config space, interrupts and resets are as with any other device. What needs an IOMMU is refused: mapping at an
/// ``IOVA``, mapping dma-bufs, page tables, dirty tracking.
public final class NoIOMMUAddressSpace: Sendable {
    /// Behind it: its devices are open there, and its memory is mapped there, at addresses that mean nothing to them.
    let space: AddressSpace

    /// The kernel interface that is in use.
    ///
    /// An iommufd (Linux 7.3) pins memory and tells where it is. A container takes devices, and has no memory for them.
    public var interface: AddressSpace.Interface { space.interface }

    /// - Parameters:
    ///   - interface: The interface to use; `nil` for an iommufd where the kernel has what it takes, else a container.
    ///   - kernel: Who answers the system calls: Linux, or a mock in a test.
    /// - Throws: `.unsupported` when the kernel has no such mode, `.permissionDenied` when the user may not open it.
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

    /// Allocates memory of this process and pins it, so that it has physical addresses to be told to devices.
    /// The corresponding request is `IOMMU_IOAS_MAP`.
    ///
    /// The memory is zeroed. It is pinned from the first device on, and freed at the end of the buffer's life: devices have
    /// to be done with it by then, since nothing stops them from writing where somebody else's memory is meanwhile.
    ///
    /// - Parameters:
    ///   - byteCount: The size in bytes, rounded up to whole pages. Greater than 0.
    ///   - pages: The pages to take. Memory larger than a page is in one piece only by chance, or by huge pages.
    /// - Throws: `.unsupported` with a container, which pins nothing; `.noSpace`, `.limit`.
    public func allocate(byteCount: Int, pages: PageSize = .standard) throws(VFIOError) -> NoIOMMUBuffer {
        let operation = "allocate memory for devices without an IOMMU"
        try requirePinning(operation)
        let buffer = try space.allocate(
            byteCount: byteCount, pages: pages, access: .readWrite, placement: .automatic, operation: operation)
        return NoIOMMUBuffer(space: self, buffer: buffer)
    }

    /// Pins memory that the caller owns, so that it has physical addresses to be told to devices.
    ///
    /// The pages stay pinned for as long as the mapping lives, also when the caller unmaps them meanwhile: then devices and
    /// process no longer see the same memory, which is why this is unsafe. Devices can read and write all of it.
    ///
    /// - Parameter memory: Page-aligned on both sides, ordinary memory, and writable.
    /// - Throws: `.unsupported` with a container, which pins nothing; `.deviceMemory` for a BAR; `.misaligned`, `.limit`,
    ///   `.noSpace`.
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

    /// The memory in one piece that begins at an offset of a mapping.
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
            // Each answer has at least a byte, and no more than is left.
            let range = try physicalRange(at: offset, of: iova, byteCount)
            ranges.append(range)
            offset += range.byteCount
        }
        return ranges
    }
}

extension Device {
    /// Opens a device that has no IOMMU: **it can reach all of the machine's memory**.
    ///
    /// The ``space`` of such a device is behind the one given here, and refuses to map anything.
    ///
    /// - Parameters:
    ///   - address: Where the device sits.
    ///   - space: Whose memory the device is told of.
    ///   - token: As for any other device.
    /// - Throws: As for any other device; `.unsupported` for one that has an IOMMU; `.permissionDenied` without
    ///   `CAP_SYS_RAWIO`.
    public init(
        at address: PCIAddress, in space: NoIOMMUAddressSpace, token: VFToken? = nil
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space.space, token: token)
    }
}
