internal import SystemPackage

/// A device that this program owns.
///
/// ```swift
/// let space = try AddressSpace()
/// let device = try Device(at: "0000:00:04.0", in: space)
/// try device.config.updateCommand { $0.insert(.busMaster) }
/// try device.withRegisters(.bar0) { registers in registers.write32(1, at: 0x98) }
/// ```
///
/// The device must be bound to `vfio-pci`. It is closed when its owner and everything made from it have been closed or
/// deinitialized: the kernel then resets it if it can, and its dma-bufs become permanently unusable.
public struct Device: ~Copyable, Sendable {
    package let core: DeviceCore

    /// Opens a device and attaches it to an address space.
    /// The corresponding requests are `VFIO_GROUP_GET_DEVICE_FD` and `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// - Parameters:
    ///   - address: The PCI address of the device.
    ///   - space: The address space that its DMA uses.
    ///   - token: The secret shared by the users of a physical function and of its virtual functions; refused by any
    ///     other device.
    /// - Throws: `.notFound`, `.notBoundToVFIO`, `.groupNotViable` (names the other devices), `.busy`,
    ///   `.permissionDenied` (also for a missing or wrong token), `.invalidArgument` (a token that the device does not
    ///   use), `.deviceGone` (it does not answer), `.unsupported`.
    public init(
        at address: PCIAddress, in space: AddressSpace, token: VFToken? = nil
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space, token: token)
    }

    /// Opens a mediated device and attaches it to an address space.
    /// The corresponding requests are `VFIO_GROUP_GET_DEVICE_FD` and `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// A mediated device is a part of another device; the parent's kernel driver emulates its registers and decides
    /// what it supports. Some can be opened only for a virtual machine: see the library `VFIOPassthrough`.
    ///
    /// - Parameters:
    ///   - uuid: The UUID that it was created with.
    ///   - space: The address space that its DMA uses.
    /// - Throws: As for a PCI device; `.notFound` if there is no such mediated device.
    public init(mediated uuid: DeviceUUID, in space: AddressSpace) throws(VFIOError) {
        try self.init(opening: .mediated(uuid), in: space)
    }

    /// Opens a device by its address or its name.
    ///
    /// - Parameter registrar: Registers the device's file before the device is opened, and until it is closed.
    package init(
        opening address: DeviceAddress, in space: AddressSpace, token: VFToken? = nil,
        for registrar: (any FileRegistrar)? = nil
    ) throws(VFIOError) {
        core = try DeviceCore(address, in: space, token: token, for: registrar)
    }

    /// The PCI address of the device, or its name.
    public var address: DeviceAddress { core.address }
    /// The address space that the device was opened into.
    public var space: AddressSpace { core.space }
    /// The type and capabilities of the device.
    public var info: DeviceInfo { core.info }

    /// Closes the device and throws the kernel's error.
    ///
    /// - Throws: `.inUse` if an object made from the device is still open (a mapped region, an interrupt); the error
    ///   names it, and the device is closed with the last of them.
    public consuming func close() throws(VFIOError) {
        try core.endOwnership()
    }

    deinit {
        // No effect after close().
        try? core.endOwnership()
    }

    /// Asks whether the device answers, by registers of config space that are not all ones in a device that does.
    ///
    /// A device that was removed, lost its power or its link, or did not come back from a reset or low power does not.
    /// Then a read of its registers returns all ones, and an access to a mapped region may end the process with
    /// `SIGBUS`. A device that is no PCI device always counts as present.
    public func isPresent() throws(VFIOError) -> Bool { try core.isPresent() }

    /// Returns the properties of a region. A BAR that the device lacks has 0 bytes.
    /// The corresponding request is `VFIO_DEVICE_GET_REGION_INFO`.
    ///
    /// - Throws: `.notFound` for an index beyond the last region.
    public func region(_ index: RegionIndex) throws(VFIOError) -> RegionInfo {
        try core.region(index)
    }

    /// Returns all regions of the device in the order of their indices; ``RegionInfo/type`` describes those beyond the
    /// fixed ones. The corresponding request is `VFIO_DEVICE_GET_REGION_INFO`.
    public func regions() throws(VFIOError) -> [RegionInfo] {
        var found: [RegionInfo] = []
        // No device has so many regions; the limit bounds the loop if the kernel reports a wrong count.
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

    /// Maps all or part of a region for the CPU.
    ///
    /// - Parameters:
    ///   - index: The region.
    ///   - range: The part in bytes from the start of the region, page-aligned at its start; `nil` for all of it.
    /// - Throws: `.unsupported` if the region or this part of it cannot be mapped (`withRegisters` still works),
    ///   `.memoryDecodeOff`, `.deviceGone`, `.outOfRange`, `.misaligned`, `.notFound`.
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

    /// Resets the device, by FLR or another method that it has. The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// The kernel revokes the device's dma-bufs during the reset. Existing mappings of them stay revoked until
    /// ``PeerMapping/restore(evenIfLive:)``.
    ///
    /// - Throws: `.unsupported` if the device has no reset method, `.busy` if another reset of it is in progress,
    ///   `.deviceGone` if it does not answer afterwards.
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
    /// Whether this range contains all of the other.
    func contains(_ other: Range<UInt64>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }
}
