internal import Synchronization
package import SystemPackage

/// An open device, shared between its ``Device`` and the objects made from it.
///
/// The descriptor is closed when the owner has closed the device and the last lease has ended, so the moment does not
/// depend on when the last reference to this object is released.
package final class DeviceCore: Sendable, ControlledFile {
    package let address: DeviceAddress
    package let space: AddressSpace
    package let kernel: any Kernel
    package let info: DeviceInfo
    let revocation = RevocationTracker()
    /// Held while the config space is changed or the device is reset, so that the cached memory state stays correct.
    /// Counts the writes of config space.
    let configLock = Mutex<UInt64>(0)
    /// Valid while the owner or a lease exists.
    package let descriptor: FileDescriptor
    let state: Mutex<State>
    /// The device's ID in the iommufd; `nil` with type1.
    let iommufdNumber: UInt32?
    /// The number of the IOMMU group that the device was opened through; `nil` with an iommufd.
    let groupNumber: Int?
    /// The target of the device's DMA, if it is not the address space that the device was opened into.
    let attachment = Mutex<Attachment?>(nil)
    /// The page tables of the device's PASIDs.
    let pasidTables = Mutex<[UInt32: IOMMUFDObject]>([:])

    /// What a device bound to an iommufd is attached to; keeps it open.
    enum Attachment: Sendable {
        case space(AddressSpace)
        case table(IOMMUFDObject)
    }

    struct State: ~Copyable, Sendable {
        var device: OpenedDevice?
        var hasOwner = true
        var leases: [DeviceLease.Holder] = []
        var regions: [RegionIndex: RegionInfo] = [:]
        /// Regions beyond the reported count, which the device has reported elsewhere.
        var announcedRegions: Set<RegionIndex> = []
        /// The mappings behind ``Device``'s `withRegisters`.
        var registerMappings: [RegionIndex: RegisterMapping] = [:]
        var interrupts = InterruptTable()
        var configLayout: ConfigLayout?
        var isVirtualFunction: Bool?
    }

    init(
        _ address: DeviceAddress, in space: AddressSpace, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) {
        let device = try space.open(address, token: token, for: registrar)
        let descriptor = device.descriptor.descriptor
        do throws(VFIOError) {
            info = try DeviceInfo(of: device.descriptor, subject: "\(address)")
        } catch {
            try? device.close(backend: space.backend, subject: "\(address)")
            throw error
        }
        self.address = address
        self.space = space
        self.kernel = space.kernel
        self.descriptor = descriptor
        self.iommufdNumber = device.iommufdNumber
        self.groupNumber = device.membership?.group
        self.state = Mutex(State(device: device))
        guard try answers() else { throw gone("open the device") }
        space.devices.insert(self)
    }

    deinit {
        try? close(ifUnused: false)
    }

    /// The file that represents the device where it is registered: its own, or that of its group.
    package var registrableFile: FileDescriptor {
        groupNumber.flatMap { space.backend.groupDescriptor($0) } ?? descriptor
    }

    // MARK: Closing

    /// Ends the owner's use. Closes the device unless a lease exists.
    func endOwnership() throws(VFIOError) {
        let leases = state.withLock { state in
            state.hasOwner = false
            return state.leases
        }
        guard leases.isEmpty else {
            throw VFIOError(
                .inUse, "close the device", "\(address)",
                hint:
                    "still alive: \(leases.map(\.description).joined(separator: ", ")); the device closes with the last of them"
            )
        }
        try close(ifUnused: true)
    }

    func beginLease(_ holder: DeviceLease.Holder) {
        state.withLock { $0.leases.append(holder) }
    }

    /// Begins a lease for a caller without one, unless the device has been closed.
    func beginLeaseIfOpen(_ holder: DeviceLease.Holder) -> Bool {
        state.withLock { state in
            guard state.device != nil else { return false }
            state.leases.append(holder)
            return true
        }
    }

    func endLease(_ holder: DeviceLease.Holder) {
        state.withLock { state in
            if let index = state.leases.firstIndex(of: holder) { state.leases.remove(at: index) }
        }
        // A lease ends in a deinit, which cannot throw.
        try? close(ifUnused: true)
    }

    private func close(ifUnused: Bool) throws(VFIOError) {
        // In one step with the check, so that no lease begins on a device that is being closed.
        let device = state.withLock { state -> OpenedDevice? in
            guard !ifUnused || !state.hasOwner && state.leases.isEmpty else { return nil }
            return state.device.take()
        }
        guard let device else { return }
        // First the CPU mappings, which hold the device's file open.
        state.withLock { $0.registerMappings.removeAll() }
        space.devices.remove(self)
        revocation.close()
        // What the device was attached to may close only after the device.
        defer {
            _ = attachment.withLock { $0.take() }
            let tables = pasidTables.withLock { tables in
                defer { tables = [:] }
                return tables
            }
            withExtendedLifetime(tables) {}
        }
        try device.close(backend: space.backend, subject: "\(address)")
    }

    // MARK: Regions

    /// Returns the region's properties, which are requested from the kernel once.
    func region(_ index: RegionIndex) throws(VFIOError) -> RegionInfo {
        if let known = state.withLock({ $0.regions[index] }) { return known }
        // Computed, since only an error needs it.
        var subject: String { "\(index) of \(address)" }
        let operation = ABI.Call.getRegionInfo.operation("ask for the region")
        guard index.rawValue < info.regionCount || state.withLock({ $0.announcedRegions.contains(index) }) else {
            throw VFIOError(
                .notFound, operation, subject, hint: "the device has the regions 0 to \(Int(info.regionCount) - 1)")
        }
        let answer = try ABI.getRegionInfo(index.rawValue).perform(
            on: self, operation: operation, subject,
            // vfio-pci returns EINVAL for the VGA region of a device that is not VGA.
            refusals: [.invalidArgument: (.notFound, "the device has no such region")])
        let region = try RegionInfo(answer, index: index, subject: subject)
        state.withLock { $0.regions[index] = region }
        return region
    }

    /// Returns an existing region, or throws `.notFound`.
    package func existingRegion(_ index: RegionIndex, for operation: String) throws(VFIOError) -> RegionInfo {
        let region = try region(index)
        guard region.byteCount > 0 else {
            throw VFIOError(.notFound, operation, "\(index) of \(address)", hint: "the device does not implement it")
        }
        return region
    }

    /// Asks the device whether its memory responds, and throws if not: an access would be `SIGBUS`.
    package func requireMemory(for operation: String) throws(VFIOError) {
        // A question would wake it.
        if !revocation.current.isInLowPower {
            do throws(VFIOError) {
                try configLock.withLock { (_) throws(VFIOError) in try readMemoryState() }
            } catch {
                throw error.code == .deviceGone ? gone(operation) : error
            }
        }
        try requireKnownMemory(for: operation)
    }

    /// Throws if the memory of the device is known not to respond, and asks the device only if nothing is known.
    func requireKnownMemory(for operation: String) throws(VFIOError) {
        let memory = revocation.current
        if memory.memory == .unknown || memory.memory == .gone, !memory.isInLowPower {
            return try requireMemory(for: operation)
        }
        guard memory.isMemoryOn else {
            throw VFIOError(
                .memoryDecodeOff, operation, "\(address)",
                hint: memory.isInLowPower
                    ? "the device is in low power: leave that first"
                    : "switch memory decode on in the command register, and the device into D0, first")
        }
    }

    /// Reads part of a region through the device's descriptor.
    func read(_ region: RegionInfo, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(VFIOError) {
        try checkRange(region, offset, buffer.count, "read")
        let count: Int
        do throws(Errno) {
            count = try unsafe kernel.read(descriptor, at: region.offset + offset, into: buffer)
        } catch {
            throw accessFailure(error, "read at \(offset.hexadecimal) (pread)", region.index)
        }
        guard count == buffer.count else {
            throw VFIOError(
                .unexpectedAnswer, "read at \(offset.hexadecimal) (pread)", "\(region.index) of \(address)",
                hint: "\(count) of \(buffer.count) bytes were read")
        }
    }

    /// Writes part of a region through the device's descriptor.
    func write(_ region: RegionInfo, at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(VFIOError) {
        try checkRange(region, offset, buffer.count, "write")
        let count: Int
        do throws(Errno) {
            count = try unsafe kernel.write(descriptor, at: region.offset + offset, from: buffer)
        } catch {
            throw accessFailure(error, "write at \(offset.hexadecimal) (pwrite)", region.index)
        }
        guard count == buffer.count else {
            throw VFIOError(
                .unexpectedAnswer, "write at \(offset.hexadecimal) (pwrite)", "\(region.index) of \(address)",
                hint: "\(count) of \(buffer.count) bytes were written")
        }
    }

    private func checkRange(_ region: RegionInfo, _ offset: UInt64, _ count: Int, _ verb: String) throws(VFIOError) {
        guard offset <= region.byteCount, UInt64(count) <= region.byteCount - offset else {
            throw VFIOError(
                .outOfRange, "\(verb) \(count) bytes at \(offset.hexadecimal)", "\(region.index) of \(address)",
                hint: "it has \(region.byteCount) bytes")
        }
    }
}
