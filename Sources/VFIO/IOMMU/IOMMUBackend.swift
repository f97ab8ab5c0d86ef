internal import SystemPackage

/// One way to an IOMMU: a type1 container with its groups, or an IO address space of an iommufd.
///
/// A backend does what the kernel's interface can do and no more: which addresses are free is the business of
/// ``AddressSpace``.
protocol IOMMUBackend: AnyObject, Sendable {
    /// What the interface is called in errors.
    var name: String { get }

    /// The devices that are open by way of the same container or iommufd: what the kernel takes for one owner's.
    var devices: OpenDevices { get }

    /// It takes devices without an IOMMU, and no others: nothing translates the addresses of their DMA.
    var isNoIOMMU: Bool { get }

    /// What of the devices is registered elsewhere.
    var registeredFiles: RegisteredFiles { get }

    /// Opens a device and puts it behind this address space; and registers it before, if there is who wants to know of it.
    func open(
        _ address: DeviceAddress, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) -> OpenedDevice

    /// Gives back what `open` took beside the descriptor, which has been closed.
    func release(_ membership: GroupMembership?) throws(VFIOError)

    /// The open descriptor of an IOMMU group, by its number; `nil` when no device of it is open here. An iommufd has none.
    func groupDescriptor(_ number: Int) -> FileDescriptor?

    /// The ranges that can be mapped, sorted, and the alignment in bytes of a mapping's ends.
    func layout() throws(VFIOError) -> IOVALayout

    /// Refuses to map into what has no IOMMU yet.
    func requireIOMMU(for operation: String) throws(VFIOError)

    /// Maps memory of the process.
    func map(
        _ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess
    ) throws(Errno)

    /// Maps a dma-buf.
    func map(
        dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess
    ) throws(Errno)

    /// Unmaps a range and gives the number of bytes that were unmapped.
    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64

    /// Whether the interface can import a dma-buf at all.
    var importsDMABufs: Bool { get }

    /// The names of the requests, for errors.
    var mapRequest: String { get }
    var unmapRequest: String { get }
}

/// What the IOMMU can translate.
struct IOVALayout {
    /// Sorted and disjoint.
    let ranges: [ClosedRange<UInt64>]
    /// A power of two.
    let alignment: UInt64

    /// Checks what the kernel has answered, since the allocator counts on it.
    init(
        ranges: [ClosedRange<UInt64>], alignment: UInt64, operation: String, subject: String
    ) throws(VFIOError) {
        for (one, next) in zip(ranges, ranges.dropFirst()) {
            guard one.upperBound < next.lowerBound else {
                throw VFIOError(
                    .unexpectedAnswer, operation, subject,
                    hint: "the ranges \(IOVA(one.lowerBound))...\(IOVA(one.upperBound)) and "
                        + "\(IOVA(next.lowerBound))...\(IOVA(next.upperBound)) are out of order")
            }
        }
        guard alignment.nonzeroBitCount == 1 else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject, hint: "the alignment \(alignment) is no power of two")
        }
        self.ranges = ranges
        self.alignment = alignment
    }
}

/// An open device as a backend hands it out.
struct OpenedDevice: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor
    let membership: GroupMembership?
    /// The device's number in the iommufd; `nil` with type1.
    let iommufdNumber: UInt32?
    /// What was registered with a virtual machine for it: its own descriptor, or its group's.
    let registeredFile: FileDescriptor?

    /// Takes the device apart into what is closed first and what is given back afterwards.
    consuming func close(backend: any IOMMUBackend, subject: String) throws(VFIOError) {
        let membership = self.membership
        var failure: VFIOError?
        do throws(VFIOError) {
            if let registeredFile { try backend.registeredFiles.remove(registeredFile, subject: subject) }
        } catch {
            failure = error
        }
        do throws(Errno) {
            try descriptor.close()
        } catch {
            failure = failure ?? VFIOError(.kernel, "close the device", subject, errno: error)
        }
        try backend.release(membership)
        if let failure { throw failure }
    }
}

/// A device's share in its open group.
struct GroupMembership: Sendable {
    let group: Int
    let device: DeviceAddress
}
