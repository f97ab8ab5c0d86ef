internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    /// What a hot reset resets with this device (`VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`).
    ///
    /// - Throws: `.unsupported` when neither the bus nor the slot can be reset, such as that of a device directly on the
    ///   root complex.
    public func hotResetInfo() throws(VFIOError) -> HotResetInfo {
        try core.hotResetInfo(for: "ask what a hot reset resets (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)")
    }

    /// Resets the bus or the slot that the device is on, with all functions behind it (`VFIO_DEVICE_PCI_HOT_RESET`).
    ///
    /// The kernel revokes the dma-bufs of all of them meanwhile; mappings of those that were made before stay revoked
    /// until ``PeerMapping/restore()``, whichever of the devices they are of. Interrupts stay on.
    ///
    /// - Throws: `.unsupported` when neither can be reset; `.busy` when a function behind it is not this address space's
    ///   (nor a sibling's of the same iommufd), with its address in the hint, or is being accessed, or is a virtual one.
    public func hotReset() throws(VFIOError) {
        let operation = "reset the bus (VFIO_DEVICE_PCI_HOT_RESET)"
        let info = try core.hotResetInfo(for: operation)
        let groups = try core.groupsToProve(info, operation)
        // In one order for everybody, since each of them takes its turn.
        let affected = Set(info.functions.map { DeviceAddress.pci($0.address) } + [address])
            .sorted { $0.description < $1.description }
            .compactMap { core.space.devices[$0] }
        try DeviceCore.withTurns(of: affected[...]) { () throws(VFIOError) in
            do throws(Errno) {
                try DeviceCore.revoking(affected[...]) { () throws(Errno) in try core.hotReset(groups) }
            } catch {
                // What it has left behind is to be known even when it failed.
                for device in affected { try? device.refreshMemoryState() }
                throw core.hotResetRefusal(error, operation, info)
            }
            // One that does not answer is no reason to know less of the others.
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
        typealias Header = cvfio_pci_hot_reset_info
        typealias Entry = cvfio_pci_dependent_device
        var room = 0
        // A function may be plugged in between the question how many there are and the one which.
        for _ in 0..<4 {
            var header = Header()
            header.argsz = UInt32(MemoryLayout<Header>.size + room * MemoryLayout<Entry>.size)
            let buffer = RequestBuffer(header, tail: room * MemoryLayout<Entry>.size)
            do throws(Errno) {
                _ = try kernel.control(descriptor, CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO, with: buffer)
            } catch .noSpace {
                let wanted = Int(buffer.header(Header.self).count)
                // No bus has more: 256 functions, and with bridges behind them as many again for each of 256 buses.
                guard wanted > room, wanted <= 1 << 16 else {
                    throw VFIOError(
                        .unexpectedAnswer, operation, "\(address)", errno: .noSpace,
                        hint: "the kernel speaks of \(wanted) functions")
                }
                room = wanted
                continue
            } catch {
                throw hotResetRefusal(error, operation)
            }
            return try Self.read(buffer, room: room, operation, "\(address)")
        }
        throw VFIOError(
            .unexpectedAnswer, operation, "\(address)", hint: "the number of functions grows each time it is asked for")
    }

    private static func read(
        _ buffer: borrowing RequestBuffer, room: Int, _ operation: String, _ subject: String
    ) throws(VFIOError) -> HotResetInfo {
        let header = buffer.header(cvfio_pci_hot_reset_info.self)
        guard header.count <= room else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject,
                hint: "the kernel speaks of \(header.count) functions where there was room for \(room)")
        }
        let hasDeviceIDs = header.flags & CVFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0
        var functions: [HotResetInfo.Function] = []
        for index in 0..<Int(header.count) {
            let position =
                MemoryLayout<cvfio_pci_hot_reset_info>.size + index * MemoryLayout<cvfio_pci_dependent_device>.size
            guard let number = buffer.load(UInt32.self, at: position),
                let segment = buffer.load(UInt16.self, at: position + 4),
                let bus = buffer.load(UInt8.self, at: position + 6),
                let devfn = buffer.load(UInt8.self, at: position + 7),
                let address = PCIAddress(domain: UInt32(segment), bus: bus, device: devfn >> 3, function: devfn & 7)
            else { break }
            let owner: HotResetInfo.Owner =
                switch number {
                case _ where !hasDeviceIDs: .group(Int(number))
                case CVFIO_PCI_DEVID_OWNED: .ownGroup
                case CVFIO_PCI_DEVID_NOT_OWNED: .other
                default: .device(id: number)
                }
            functions.append(HotResetInfo.Function(address: address, owner: owner))
        }
        return HotResetInfo(
            functions: functions,
            isOwned: hasDeviceIDs ? header.flags & CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0 : nil)
    }

    /// The groups whose descriptors prove that all functions are ours; none for an iommufd, which knows.
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
                // Older kernels, which have groups only, are content when all of them are proven.
                hint: (hasGroups ? nil : virtualFunctionHint(info))
                    ?? "it would reset \(names) too; open a device of each group in the same address space first")
        }
        return groups.sorted { $0.key < $1.key }.map(\.value)
    }

    fileprivate func hotReset(_ groups: [FileDescriptor]) throws(Errno) {
        var header = cvfio_pci_hot_reset()
        let size = MemoryLayout<cvfio_pci_hot_reset>.size
        header.argsz = UInt32(size + groups.count * MemoryLayout<Int32>.size)
        header.count = UInt32(groups.count)
        let buffer = RequestBuffer(header, tail: groups.count * MemoryLayout<Int32>.size)
        for (position, group) in groups.enumerated() {
            buffer.store(group.rawValue, at: size + position * MemoryLayout<Int32>.size)
        }
        _ = try kernel.control(descriptor, CVFIO_DEVICE_PCI_HOT_RESET, with: buffer)
    }

    /// What to do about virtual functions, which newer kernels (7.3 is one) reset with no bus, whoever has them; `nil`
    /// when there are none.
    private func virtualFunctionHint(_ info: HotResetInfo) -> String? {
        let sysfs = Sysfs(kernel: kernel)
        let names = info.functions.map(\.address).filter { ((try? sysfs.physicalFunction(of: .pci($0))) ?? nil) != nil }
        guard let first = names.first else { return nil }
        return "\(first) is a virtual function, with which Linux resets no bus; it has to be taken away first "
            + "(sriov_numvfs), or reset() resets the device alone"
    }

    fileprivate func hotResetRefusal(_ errno: Errno, _ operation: String, _ info: HotResetInfo? = nil) -> VFIOError {
        if errno == .invalidArgument, let hint = info.flatMap(virtualFunctionHint) {
            return VFIOError(.busy, operation, "\(address)", errno: errno, hint: hint)
        }
        return switch errno {
        case .operationNotSupportedByDevice:
            VFIOError(
                .unsupported, operation, "\(address)", errno: errno,
                hint: "neither its bus nor its slot can be reset, as on the root complex")
        case .resourceBusy, .resourceTemporarilyUnavailable:
            VFIOError(
                .busy, operation, "\(address)", errno: errno,
                hint: "one of the devices behind the bus is being accessed; try again")
        case .invalidArgument:
            VFIOError(
                .kernel, operation, "\(address)", errno: errno,
                hint: "a function behind the bus is not bound to VFIO, or not this program's")
        default: VFIOError(.kernel, operation, "\(address)", errno: errno)
        }
    }

    /// Takes the turn of each device, always in the same order.
    fileprivate static func withTurns(
        of devices: ArraySlice<DeviceCore>, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        guard let first = devices.first else { return try body() }
        try first.configTurn.withLock { (_) throws(VFIOError) in try withTurns(of: devices.dropFirst(), body) }
    }

    /// Makes the call that makes the kernel revoke, and notes it for each device.
    fileprivate static func revoking(
        _ devices: ArraySlice<DeviceCore>, _ body: () throws(Errno) -> Void
    ) throws(Errno) {
        guard let first = devices.first else { return try body() }
        try first.revocation.revoking { () throws(Errno) in try revoking(devices.dropFirst(), body) }
    }
}
