internal import SystemPackage

/// An `mmap(2)` of a part of a device's region, and its entry in ``BARAddresses``.
@safe
package struct RegionMapping: ~Copyable, @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer
    private let space: AddressSpace
    // Stored separately instead of as a string: with a String member, Swift 6.3 does not diagnose the use of a view of
    // a local `let` after its owner was closed (LifetimeTests.aViewOfALocalCannotBeUsedAfterTheEnd).
    private let region: RegionIndex
    private let device: DeviceAddress
    // Released after the deinit has unmapped, so that the device is not closed before.
    private let lease: DeviceLease?
    private var isOpen = true

    private init(
        _ bytes: UnsafeMutableRawBufferPointer, region: RegionIndex, of core: DeviceCore, lease: DeviceLease?
    ) {
        unsafe self.bytes = unsafe bytes
        self.space = core.space
        self.region = region
        self.device = core.address
        self.lease = lease
        unsafe BARAddresses.insert(bytes, owner: owner)
    }

    /// Maps a part of a region.
    ///
    /// - Parameters:
    ///   - window: In bytes from the start of the region, page-aligned at its start.
    ///   - lease: Keeps the device open; `nil` if the device itself owns the mapping.
    package static func map(
        _ region: RegionInfo, _ window: Range<UInt64>, of core: DeviceCore, lease: DeviceLease?
    ) throws(VFIOError) -> RegionMapping {
        let operation = "map the region (mmap)"
        let owner = BARAddresses.Owner.region(region.index, of: core.address)
        // A BAR smaller than a page is mapped as a whole page, if no other BAR shares the page.
        guard let rounded = UInt64(window.count).roundedUp(to: UInt64(core.kernel.pageSize)),
            let length = Int(exactly: rounded)
        else {
            throw VFIOError(.outOfRange, operation, "\(owner)", hint: "it is larger than the address space")
        }
        let request = MemoryMapRequest(
            byteCount: length, source: .file(core.descriptor, offset: region.offset + window.lowerBound),
            isReadable: region.isReadable, isWritable: region.isWritable)
        // At an address with its alignment, so that the CPU, and KVM for a guest, can use huge pages.
        let base = try unsafe attempt(
            operation, "\(owner)",
            core.kernel.map(
                request, alignedTo: [1 << 30, 1 << 21].filter { length >= $0 }, offset: window.lowerBound))
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: base, count: window.count)
        return unsafe RegionMapping(bytes, region: region.index, of: core, lease: lease)
    }

    private var owner: BARAddresses.Owner { .region(region, of: device) }

    /// Unmaps the region and throws the kernel's error.
    package consuming func close() throws(VFIOError) {
        isOpen = false
        try attempt("unmap the region (munmap)", "\(owner)", unmap())
    }

    /// Leaves the region mapped until the process ends, since its addresses may still be in use.
    package consuming func abandon() { isOpen = false }

    deinit {
        if isOpen { try? unmap() }
    }

    private borrowing func unmap() throws(Errno) {
        unsafe BARAddresses.remove(bytes)
        // munmap(2) takes whole pages, even for a smaller BAR.
        try unsafe space.kernel.unmap(bytes)
    }
}
