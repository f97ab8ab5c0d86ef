internal import SystemPackage

/// A device that belongs to this program.
///
/// ```swift
/// let space = try AddressSpace()
/// let device = try Device(at: "0000:00:04.0", in: space)
/// try device.config.updateCommand { $0.insert(.busMaster) }
/// try device.withRegisters(.bar0) { registers in registers.write32(1, at: 0x98) }
/// ```
///
/// The device has to be bound to `vfio-pci`. It has one owner; when that is gone, and everything made from it as well, it
/// is closed: the kernel then resets it where it can, and its dma-bufs are dead.
public struct Device: ~Copyable, Sendable {
    package let core: DeviceCore

    /// Opens a device, and puts it behind an address space.
    ///
    /// - Parameters:
    ///   - address: Where the device sits.
    ///   - space: The addresses that its DMA goes to.
    ///   - token: Shared between the users of a physical function and of its virtual ones; any other device refuses one.
    /// - Throws: What keeps the device from being opened: `.notFound`, `.driver` (not bound to VFIO),
    ///   `.groupNotViable` (names the devices in the way), `.busy`, `.permissionDenied` (a token that is missing or wrong among
    ///   others), `.invalidArgument` (a token that the device has no use for), `.unsupported`.
    public init(
        at address: PCIAddress, in space: AddressSpace, token: VFToken? = nil
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space, token: token)
    }

    /// Opens a mediated device, and puts it behind an address space.
    ///
    /// A mediated device is a part of another device, made by that one's driver in the kernel, which answers for its
    /// registers. What it lets be done is up to that driver. Some do not let it be opened but for a virtual machine: see the
    /// library `VFIOPassthrough`.
    ///
    /// - Parameters:
    ///   - uuid: The name that it was made with.
    ///   - space: The addresses that its DMA goes to.
    /// - Throws: As for a PCI device; `.notFound` when there is no mediated device of that name.
    public init(mediated uuid: DeviceUUID, in space: AddressSpace) throws(VFIOError) {
        try self.init(opening: .mediated(uuid), in: space)
    }

    /// Opens a device by its address or its name.
    ///
    /// - Parameter registrar: Where its file is registered before it is opened, and until it is closed.
    package init(
        opening address: DeviceAddress, in space: AddressSpace, token: VFToken? = nil,
        for registrar: (any FileRegistrar)? = nil
    ) throws(VFIOError) {
        core = try DeviceCore(address, in: space, token: token, for: registrar)
    }

    /// Where the device sits, or its name.
    public var address: DeviceAddress { core.address }
    /// The address space that the device is in.
    public var space: AddressSpace { core.space }
    /// What the device is and can do.
    public var info: DeviceInfo { core.info }

    /// Closes the device and reports what the kernel said.
    ///
    /// - Throws: `.inUse` when something made from the device is still alive (a mapped region, an interrupt); the error
    ///   names it, and the device is closed with the last of them.
    public consuming func close() throws(VFIOError) {
        try core.endOwnership()
    }

    deinit {
        // After close() this finds nothing left to do.
        try? core.endOwnership()
    }

    /// What a region of the device is. A BAR that the device lacks has 0 bytes.
    /// The corresponding request is `VFIO_DEVICE_GET_REGION_INFO`.
    ///
    /// - Throws: `.notFound` for an index beyond the last region.
    public func region(_ index: RegionIndex) throws(VFIOError) -> RegionInfo {
        try core.region(index)
    }

    /// All regions that the device has, in the order of their indices; those beyond the fixed ones say in
    /// ``RegionInfo/type`` what they hold.
    public func regions() throws(VFIOError) -> [RegionInfo] {
        var found: [RegionInfo] = []
        // No device has so many; an odd answer is not to keep us for hours.
        for number in 0..<min(info.regionCount, 4096) {
            do throws(VFIOError) {
                let region = try core.region(RegionIndex(rawValue: number))
                if region.byteCount > 0 { found.append(region) }
            } catch {
                guard error.code == .notFound else { throw error }
            }
        }
        return found
    }

    /// Maps a region for the CPU, or a part of it.
    ///
    /// - Parameters:
    ///   - index: The region.
    ///   - range: The part in bytes from the start of the region, page-aligned at its start; `nil` for all of it.
    /// - Throws: `.unsupported` when the region, or this part of it, cannot be mapped (`withRegisters` works all
    ///   the same), `.memoryDecodeOff`, `.outOfRange`, `.misaligned`, `.notFound`.
    public func map(_ index: RegionIndex, _ range: Range<UInt64>? = nil) throws(VFIOError) -> MappedRegion {
        let operation = "map the region (mmap)"
        let subject = "\(index) of \(address)"
        let region = try core.existingRegion(index, for: operation)
        guard region.isMappable else {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: index == .config
                    ? "it is reached with the device's config"
                    : "the driver does not let it be mapped; its registers are reached with withRegisters")
        }
        try core.requireMemory(for: operation)
        let window = range ?? 0..<region.byteCount
        guard !window.isEmpty, window.upperBound <= region.byteCount else {
            throw VFIOError(.outOfRange, operation, subject, hint: "it has \(region.byteCount) bytes, not \(window)")
        }
        let pageSize = UInt64(core.kernel.pageSize)
        guard window.lowerBound.isAligned(to: pageSize) else {
            throw VFIOError(.misaligned, operation, subject, hint: "the start has to be a multiple of \(pageSize)")
        }
        guard region.mappableAreas.contains(where: { $0.contains(window) }) else {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: "only these parts of it can be mapped: \(region.mappableAreas)")
        }
        let lease = DeviceLease(core, for: .mapping(index))
        let mapping = try RegionMapping.map(region, window, of: core, lease: lease)
        return MappedRegion(index: index, offset: window.lowerBound, mapping: mapping)
    }

    /// Resets the device: by FLR, or by what else the device has. The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// The kernel revokes the device's dma-bufs meanwhile. Mappings that were made of them stay revoked afterwards, until
    /// ``PeerMapping/restore()``.
    ///
    /// - Throws: `.unsupported` when the device has no way to be reset, `.busy` when it is being reset elsewhere.
    public func reset() throws(VFIOError) {
        let words = "reset the device"
        guard info.canReset else {
            throw VFIOError(
                .unsupported, ABI.Call.reset.operation(words), "\(address)",
                hint: "it has no FLR, and nothing else resets it alone")
        }
        try core.reset(
            words,
            refusals: [.resourceTemporarilyUnavailable: (.busy, "something else holds the device; try again")])
    }
}

extension Range where Bound == UInt64 {
    /// Whether all of the other range lies in this one.
    func contains(_ other: Range<UInt64>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }
}
