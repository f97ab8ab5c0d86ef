internal import SystemPackage

/// One kernel interface to an IOMMU: a type1 container with its groups, or an IOAS of an iommufd.
///
/// A backend only makes the kernel's requests: ``AddressSpace`` allocates the IOVAs.
protocol IOMMUBackend: AnyObject, Sendable {
    /// The name of the interface in errors.
    var name: String { get }

    /// The devices that are open in the same container or iommufd, which the kernel treats as one owner's.
    var devices: OpenDevices { get }

    /// Whether it accepts only devices without an IOMMU, whose DMA addresses are not translated.
    var isNoIOMMU: Bool { get }

    /// The files of the devices that are registered with virtual machines.
    var registeredFiles: RegisteredFiles { get }

    /// Opens a device into this address space, after registering its file with the registrar if there is one.
    func open(
        _ address: DeviceAddress, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) -> OpenedDevice

    /// Releases the group membership that `open` returned, after the descriptor has been closed.
    func release(_ membership: GroupMembership?) throws(VFIOError)

    /// Returns the descriptor of an IOMMU group by its number; `nil` if no device of it is open here. An iommufd has
    /// none.
    func groupDescriptor(_ number: Int) -> FileDescriptor?

    /// Keeps an IOMMU group open for a request with its descriptor; `nil` as for ``groupDescriptor(_:)``.
    func holdGroup(_ number: Int) -> HeldGroup?

    /// Returns the ranges that can be mapped, sorted, and the alignment of a mapping's ends in bytes.
    func layout() throws(VFIOError) -> IOVALayout

    /// Throws if there is no IOMMU yet.
    func requireIOMMU(for operation: String) throws(VFIOError)

    /// Maps memory of the process.
    func map(
        _ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess
    ) throws(Errno)

    /// Maps a dma-buf.
    func map(
        dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess
    ) throws(Errno)

    /// Unmaps a range and returns the number of bytes that were unmapped.
    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64

    /// Whether the interface can import a dma-buf.
    var importsDMABufs: Bool { get }

    /// The name of the map request, for errors.
    var mapRequest: String { get }
    var unmapRequest: String { get }
}

/// An IOMMU group that stays open while this value exists.
struct HeldGroup: Sendable {
    let descriptor: FileDescriptor
    let hold: any Sendable
}

/// The IOVA ranges of an IOMMU and their alignment.
struct IOVALayout {
    /// Sorted and disjoint.
    let ranges: [ClosedRange<UInt64>]
    /// A power of two.
    let alignment: UInt64

    /// Validates the kernel's answer, which the allocator depends on.
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

/// An open device, as a backend returns it.
struct OpenedDevice: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor
    let membership: GroupMembership?
    /// The device's ID in the iommufd; `nil` with type1.
    let iommufdNumber: UInt32?
    /// The file registered with a virtual machine for the device: its own descriptor, or its group's.
    let registeredFile: FileDescriptor?

    /// Closes the descriptor, then releases the group membership.
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

/// A device's membership in its open group.
struct GroupMembership: Sendable {
    let group: Int
    let device: DeviceAddress
}
