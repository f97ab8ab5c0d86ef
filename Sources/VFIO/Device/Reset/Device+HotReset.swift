internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    /// Returns the functions that a hot reset of this device resets.
    /// The corresponding request is `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
    ///
    /// - Throws: `.unsupported` if neither the bus nor the slot can be reset, such as for a device directly on the root
    ///   complex.
    public func hotResetInfo() throws(VFIOError) -> HotResetInfo {
        try core.hotResetInfo(for: ABI.Call.getHotResetInfo.operation("ask what a hot reset resets"))
    }

    /// Resets the bus or the slot of the device, with all functions behind it.
    /// The corresponding request is `VFIO_DEVICE_PCI_HOT_RESET`.
    ///
    /// The kernel revokes the dma-bufs of all these functions during the reset; existing mappings of them stay revoked
    /// until ``PeerMapping/restore(evenIfLive:)``. Interrupts stay on. A device that is opened while the reset is in
    /// progress counts as reset too; one that is closed meanwhile stays open until the end.
    ///
    /// - Throws: `.unsupported` if neither can be reset; `.busy` if a function behind it does not belong to this
    ///   address space (or to a sibling of the same iommufd), with its address in the hint, or is being accessed, or is
    ///   a virtual function; `.deviceGone` if the device does not answer afterwards.
    public func hotReset() throws(VFIOError) {
        try core.hotReset("reset the bus")
    }
}

extension DeviceCore {
    fileprivate func hotReset(_ words: String) throws(VFIOError) {
        let operation = ABI.Call.hotReset.operation(words)
        let info = try hotResetInfo(for: operation)
        // None of them is closed meanwhile, and no other file gets the number of its descriptor. Sorted, since the
        // config locks must be taken in a fixed order.
        let known = heldDevices(of: info)
        let groups = try groupsToProve(info, operation)
        defer { withExtendedLifetime((known, groups)) {} }
        try prepareRefresh()
        var newcomers: [HeldDevice] = []
        var failure: VFIOError?
        Self.withConfigLocks(of: known[...]) {
            do throws(VFIOError) {
                try Self.revoking(known[...]) { () throws(VFIOError) in
                    try ABI.hotReset(groups.map(\.descriptor)).perform(
                        on: self, words, "\(address)", refusals: hotResetRefusals(info))
                }
            } catch {
                failure = error
            }
            // A device that was opened, or plugged in, since the first question has been reset as well.
            newcomers = devicesResetBeside(known)
            for held in newcomers { held.device.recordRevocation() }
            // Also after a failed reset, which may have had an effect.
            for held in known { held.device.refreshMemoryState() }
        }
        // After the other locks, since the order of taking them is fixed.
        for held in newcomers { held.device.withConfigLock { held.device.refreshMemoryState() } }
        if let failure = self.failure(operation, failure) { throw failure }
    }

    /// The open devices among the functions of a hot reset, and this one.
    private func heldDevices(of info: HotResetInfo) -> [HeldDevice] {
        let addresses = Set(info.functions.map { DeviceAddress.pci($0.address) } + [address])
        return space.devices.hold { addresses.contains($0.address) }
    }

    /// Asks after a hot reset which devices it may have reset beside those known before.
    ///
    /// If the kernel does not tell, these are all open PCI devices of the same domain: one that counts as revoked
    /// without need costs a `restore()`.
    private func devicesResetBeside(_ known: [HeldDevice]) -> [HeldDevice] {
        let held =
            (try? hotResetInfo(for: ABI.Call.getHotResetInfo.operation("ask what was reset"))).map(heldDevices)
            ?? space.devices.hold { $0.address.pci?.domain == address.pci?.domain }
        return held.filter { held in !known.contains { $0.device === held.device } }
    }

    fileprivate func hotResetInfo(for operation: String) throws(VFIOError) -> HotResetInfo {
        let answer = try ABI.getHotResetInfo().perform(
            on: self, operation: operation, "\(address)", refusals: hotResetRefusals())
        let hasDeviceIDs = answer.flags & CVFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0
        let functions = answer.functions.compactMap { function -> HotResetInfo.Function? in
            // The kernel cuts the domain down to 16 bits; all functions are in the domain of this device.
            let address = PCIAddress(
                domain: (self.address.pci?.domain ?? 0) & ~0xFFFF | UInt32(function.segment), bus: function.bus,
                device: function.devfn >> 3, function: function.devfn & 7)
            let owner: HotResetInfo.Owner =
                switch function.owner {
                case let group where !hasDeviceIDs: .group(Int(group))
                case CVFIO_PCI_DEVID_OWNED: .ownGroup
                case CVFIO_PCI_DEVID_NOT_OWNED: .other
                case let number: .device(id: number)
                }
            return address.map { HotResetInfo.Function(address: $0, owner: owner) }
        }
        return HotResetInfo(
            functions: functions,
            isOwned: hasDeviceIDs ? answer.flags & CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0 : nil)
    }

    /// Returns the groups whose descriptors prove the ownership of all functions; none for an iommufd, which needs no
    /// proof.
    fileprivate func groupsToProve(_ info: HotResetInfo, _ operation: String) throws(VFIOError) -> [HeldGroup] {
        var groups: [Int: HeldGroup] = [:]
        var strangers: [PCIAddress] = []
        for function in info.functions {
            switch function.owner {
            case .group(let number):
                if let group = groups[number] ?? space.backend.holdGroup(number) {
                    groups[number] = group
                } else {
                    strangers.append(function.address)
                }
            case .device, .ownGroup: break
            case .other: strangers.append(function.address)
            }
        }
        guard strangers.isEmpty else {
            let hasGroups = info.isOwned == nil
            let names = strangers.map(\.description).joined(separator: ", ")
            throw VFIOError(
                .busy, operation, "\(address)",
                // Older kernels, which have groups only, accept the reset if all groups are proven.
                hint: (hasGroups ? nil : virtualFunctionHint(info))
                    ?? "it would reset \(names) too; open a device of each group in the same address space first")
        }
        return groups.sorted { $0.key < $1.key }.map(\.value)
    }

    /// Returns the hint about virtual functions, which newer kernels (such as 7.3) never reset with a bus; `nil` if
    /// there are none.
    private func virtualFunctionHint(_ info: HotResetInfo) -> String? {
        let sysfs = Sysfs(kernel: kernel)
        let names = info.functions.map(\.address).filter { ((try? sysfs.physicalFunction(of: .pci($0))) ?? nil) != nil }
        guard let first = names.first else { return nil }
        return "\(first) is a virtual function, with which Linux resets no bus; it has to be taken away first "
            + "(sriov_numvfs), or reset() resets the device alone"
    }

    fileprivate func hotResetRefusals(_ info: HotResetInfo? = nil) -> [Errno: Refusal] {
        let virtual = info.flatMap(virtualFunctionHint).map { (code: VFIOError.Code.busy, hint: $0 as String?) }
        let isAccessed: Refusal = (.busy, "one of the devices behind the bus is being accessed; try again")
        return [
            .operationNotSupportedByDevice: (
                .unsupported, "neither its bus nor its slot can be reset, as on the root complex"
            ),
            .resourceBusy: isAccessed, .resourceTemporarilyUnavailable: isAccessed,
            .invalidArgument: virtual
                ?? (.kernel, "a function behind the bus is not bound to VFIO, or not this program's"),
        ]
    }

    /// Holds the config lock of each device, taken in the given order.
    private static func withConfigLocks(of devices: ArraySlice<HeldDevice>, _ body: () -> Void) {
        guard let first = devices.first else { return body() }
        first.device.withConfigLock { withConfigLocks(of: devices.dropFirst(), body) }
    }

    /// Makes a call that revokes the dma-bufs of several devices, and records it for each device.
    private static func revoking(
        _ devices: ArraySlice<HeldDevice>, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        guard let first = devices.first else { return try body() }
        try first.device.revoking { () throws(VFIOError) in try revoking(devices.dropFirst(), body) }
    }
}

extension DeviceCore: OpenDevice {
    func keepOpen() -> (any Sendable)? { DeviceLease(ifOpen: self, for: .hotReset) }

    func withConfigLock<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
        try configLock.withLock { (_) throws(Failure) in try body() }
    }

    func revoking<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) { try revocation.revoking(body) }

    func recordRevocation() { revocation.endEpoch() }
}
