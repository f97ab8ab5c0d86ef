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
    /// until ``PeerMapping/restore()``. Interrupts stay on.
    ///
    /// - Throws: `.unsupported` if neither can be reset; `.busy` if a function behind it does not belong to this
    ///   address space (or to a sibling of the same iommufd), with its address in the hint, or is being accessed, or is
    ///   a virtual function.
    public func hotReset() throws(VFIOError) {
        let words = "reset the bus"
        let operation = ABI.Call.hotReset.operation(words)
        let info = try core.hotResetInfo(for: operation)
        let groups = try core.groupsToProve(info, operation)
        // Sorted, since the config locks must be taken in a fixed order.
        let affected = Set(info.functions.map { DeviceAddress.pci($0.address) } + [address])
            .sorted { $0.description < $1.description }
            .compactMap { core.space.devices[$0] }
        try DeviceCore.withConfigLocks(of: affected[...]) { () throws(VFIOError) in
            do throws(VFIOError) {
                try DeviceCore.revoking(affected[...]) { () throws(VFIOError) in
                    try ABI.hotReset(groups).perform(
                        on: core, words, "\(address)", refusals: core.hotResetRefusals(info))
                }
            } catch {
                // Update the state even after a failed reset, which may have had an effect.
                for device in affected { try? device.refreshMemoryState() }
                throw error
            }
            // A device that does not respond must not prevent the update of the others.
            var failure: VFIOError?
            for device in affected {
                do throws(VFIOError) { try device.refreshMemoryState() } catch { failure = failure ?? error }
            }
            if let failure { throw failure }
        }
    }
}

extension DeviceCore {
    fileprivate func hotResetInfo(for operation: String) throws(VFIOError) -> HotResetInfo {
        let answer = try ABI.getHotResetInfo().perform(
            on: self, operation: operation, "\(address)", refusals: hotResetRefusals())
        let hasDeviceIDs = answer.flags & CVFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0
        let functions = answer.functions.compactMap { function -> HotResetInfo.Function? in
            let address = PCIAddress(
                domain: UInt32(function.segment), bus: function.bus, device: function.devfn >> 3,
                function: function.devfn & 7)
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
    fileprivate func groupsToProve(_ info: HotResetInfo, _ operation: String) throws(VFIOError) -> [FileDescriptor] {
        var groups: [Int: FileDescriptor] = [:]
        var strangers: [PCIAddress] = []
        for function in info.functions {
            switch function.owner {
            case .group(let number):
                if let group = space.backend.groupDescriptor(number) {
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
    fileprivate static func withConfigLocks(
        of devices: ArraySlice<any OpenDevice>, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        guard let first = devices.first else { return try body() }
        try first.withConfigLock { () throws(VFIOError) in try withConfigLocks(of: devices.dropFirst(), body) }
    }

    /// Makes a call that revokes the dma-bufs of several devices, and records it for each device.
    fileprivate static func revoking(
        _ devices: ArraySlice<any OpenDevice>, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        guard let first = devices.first else { return try body() }
        try first.revoking { () throws(VFIOError) in try revoking(devices.dropFirst(), body) }
    }
}

extension DeviceCore: OpenDevice {
    func withConfigLock(_ body: () throws(VFIOError) -> Void) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in try body() }
    }

    func revoking(_ body: () throws(VFIOError) -> Void) throws(VFIOError) { try revocation.revoking(body) }
}
