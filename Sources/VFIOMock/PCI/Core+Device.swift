internal import CVFIO
import SystemPackage
import VFIO

extension Core {
    // MARK: Open and close

    /// Opens a device of a group by its name: `VFIO_GROUP_GET_DEVICE_FD`.
    func openDevice(named name: String, _ group: VFIOGroup) throws(Errno) -> FileDescriptor {
        let functions = functions(inGroup: group.number).filter { $0.driver == "vfio-pci" }
        guard let function = functions.first(where: { name.hasPrefix($0.name) }) else {
            throw .operationNotSupportedByDevice
        }
        let rest = name.dropFirst(function.name.count)
        if let next = rest.first, next != " " { throw .operationNotSupportedByDevice }
        // What follows the name after spaces are options, which a mediated device does not take for any.
        if function.mediated != nil && !rest.isEmpty { throw .operationNotSupportedByDevice }
        try checkToken(function, try Self.token(inOptions: rest))
        guard let groupFile = group.file, group.iommufd != nil || group.container?.hasDriver == true else {
            throw .invalidArgument
        }
        let device = DeviceFile(function, group: group)
        if let file = group.iommufd, case .iommufd(let iommufd) = file.object, function.openCount == 0 {
            try bind(function, group, iommufd)
            hold(file)
            device.iommufd = file
        }
        let (_, descriptor) = try makeFile(.device(device))
        if function.openCount == 0 { function.open(hasReset: canReset(function), self) }
        function.openCount += 1
        function.fileCount += 1
        device.isGranted = true
        group.deviceCount += 1
        hold(groupFile)
        return descriptor
    }

    /// Opens `/dev/vfio/devices/vfioN`, or `noiommu-vfioN`. Nothing works on it until it is bound.
    func openNode(_ function: PCIFunction) throws(Errno) -> FileDescriptor {
        let (_, descriptor) = try makeFile(.device(DeviceFile(function, group: nil)))
        function.fileCount += 1
        return descriptor
    }

    func closeDevice(_ device: DeviceFile) {
        let function = device.function
        function.fileCount -= 1
        if device.isGranted {
            function.openCount -= 1
            if function.openCount == 0 {
                for export in function.exports { export.exporterClosed() }
                function.exports = []
                function.close(self)
            }
        }
        if let group = device.group {
            group.deviceCount -= 1
            if function.openCount == 0 { unbind(function, group) }
            if let file = device.iommufd { unhold(file) }
            if let file = group.file { unhold(file) }
        } else if let file = device.iommufd, case .iommufd(let iommufd) = file.object {
            if let bound = function.boundDevice {
                for pasid in bound.pasidTables.keys { iommufd.detach(bound, pasid: pasid, self) }
                iommufd.detach(bound, self)
                iommufd.removeDevice(bound)
                function.boundDevice = nil
            }
            function.isOpenByNode = false
            let group = groups[function.groupNumber]
            group?.nodeCount -= 1
            if group?.nodeCount == 0 { group?.owner = nil }
            unhold(file)
        }
    }

    /// Puts a device of a group into the iommufd that the group has as its container.
    private func bind(_ function: PCIFunction, _ group: VFIOGroup, _ iommufd: IOMMUFD) throws(Errno) {
        guard group.hasIOMMU else {
            // Who has made an address space expects translation.
            if iommufd.containerSpace != nil { throw .notPermitted }
            return
        }
        if isClaimedByHost(group.number) || (group.owner != nil && group.owner !== iommufd) { throw .notPermitted }
        guard let space = iommufd.containerSpace else { throw .operationNotSupportedByDevice }
        let bound = IOMMUFDDevice(id: iommufd.nextID, function)
        iommufd.add(.device(bound), bound.id)
        function.boundDevice = bound
        do throws(Errno) {
            _ = try iommufd.attach(bound, to: space, self)
        } catch {
            iommufd.remove(bound.id)
            function.boundDevice = nil
            throw error
        }
        group.owner = iommufd
    }

    private func unbind(_ function: PCIFunction, _ group: VFIOGroup) {
        guard let bound = function.boundDevice, let iommufd = group.owner else { return }
        iommufd.detach(bound, self)
        iommufd.removeDevice(bound)
        function.boundDevice = nil
        let isLast = !functions(inGroup: group.number).contains { $0.boundDevice != nil }
        if isLast { group.owner = nil }
    }

    /// Whether a reset of the function alone is there: of its own, or of its bus when nobody else is on that.
    func canReset(_ function: PCIFunction) -> Bool {
        if function.pci.hasFunctionLevelReset { return true }
        if function.mediated != nil { return false }
        return !function.isOnRootBus && functionsOnBus(of: function).count == 1
    }

    func functionsOnBus(of function: PCIFunction) -> [PCIFunction] {
        functions.values.filter {
            $0.address.domain == function.address.domain && $0.address.bus == function.address.bus
        }
        .sorted { $0.address < $1.address }
    }

    // MARK: Requests

    func deviceControl(_ device: DeviceFile, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        if request == CVFIO_DEVICE_BIND_IOMMUFD, release.hasDeviceNodes {
            try bind(device, argument)
            return 0
        }
        guard device.isGranted else { throw .invalidArgument }
        let function = device.function
        wake(function)
        if device.group == nil, let file = device.iommufd, case .iommufd(let iommufd) = file.object {
            switch request {
            case CVFIO_DEVICE_ATTACH_IOMMUFD_PT:
                try attach(function, iommufd, argument)
                return 0
            case CVFIO_DEVICE_DETACH_IOMMUFD_PT:
                let detach = try argument.load(cvfio_device_detach_iommufd_pt(), 8)
                if detach.argsz < 8 || detach.flags & ~CVFIO_DEVICE_DETACH_PASID != 0 { throw .invalidArgument }
                guard let bound = function.boundDevice else { return 0 }
                if detach.flags == 0 {
                    iommufd.detach(bound, self)
                } else {
                    if detach.argsz < 12 { throw .invalidArgument }
                    let pasid = try argument.load(cvfio_device_detach_iommufd_pt(), 12).pasid
                    iommufd.detach(bound, pasid: pasid, self)
                }
                return 0
            default: break
            }
        }
        if function.mediated != nil, let answer = try mediatedControl(function, request, argument) { return answer }
        switch request {
        case CVFIO_DEVICE_GET_INFO: try deviceInfo(function, argument)
        case CVFIO_DEVICE_GET_REGION_INFO: try regionInfo(function, argument)
        case CVFIO_DEVICE_GET_IRQ_INFO: try interruptInfo(function, argument)
        case CVFIO_DEVICE_SET_IRQS: try setInterrupts(function, argument)
        case CVFIO_DEVICE_RESET: try resetDevice(function)
        case CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO: try hotResetInfo(function, argument)
        case CVFIO_DEVICE_PCI_HOT_RESET: try hotReset(device, argument)
        case CVFIO_DEVICE_IOEVENTFD: try setEventWrite(function, argument)
        case CVFIO_DEVICE_FEATURE: return try feature(function, argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func bind(_ device: DeviceFile, _ argument: Argument) throws(Errno) {
        var bind = try argument.load(cvfio_device_bind_iommufd(), 16)
        if bind.argsz < 16 { throw .invalidArgument }
        let known = MemoryLayout<cvfio_device_bind_iommufd>.size
        if Int(bind.argsz) > known {
            if try argument.bytes(at: known, Int(bind.argsz) - known).contains(where: { $0 != 0 }) {
                throw .argListTooLong
            }
        }
        if bind.iommufd < 0 || bind.flags & ~CVFIO_DEVICE_BIND_FLAG_TOKEN != 0 { throw .invalidArgument }
        if device.group != nil { throw .invalidArgument }
        let function = device.function
        let group = groups[function.groupNumber] ?? VFIOGroup(function.groupNumber)
        groups[function.groupNumber] = group
        if group.file != nil { throw .resourceBusy }
        if device.isGranted { throw .invalidArgument }
        try checkToken(function, try token(of: bind, function, argument))
        let descriptor = FileDescriptor(rawValue: bind.iommufd)
        let file = self.file(descriptor)
        if file == nil { try checkDescriptor(descriptor) }
        guard let file, case .iommufd(let iommufd) = file.object else { throw .badDescriptorState }
        // A device node gives access once; another one of the same device is refused.
        if function.openCount > 0 { throw .invalidArgument }
        group.hasIOMMU = function.hasIOMMU
        if isClaimedByHost(group.number) || (group.owner != nil && group.owner !== iommufd) { throw .notPermitted }
        let bound = IOMMUFDDevice(id: iommufd.nextID, function)
        bind.out_devid = bound.id
        try argument.store(bind, 16)
        iommufd.add(.device(bound), bound.id)
        function.boundDevice = bound
        function.space = nil
        function.open(hasReset: canReset(function), self)
        function.openCount = 1
        function.isOpenByNode = true
        group.nodeCount += 1
        group.owner = iommufd
        hold(file)
        device.iommufd = file
        device.isGranted = true
    }

    /// The token that comes with `VFIO_DEVICE_BIND_IOMMUFD`.
    private func token(
        of bind: cvfio_device_bind_iommufd, _ function: PCIFunction, _ argument: Argument
    ) throws(Errno) -> [UInt8]? {
        guard bind.flags & CVFIO_DEVICE_BIND_FLAG_TOKEN != 0 else { return nil }
        if function.mediated != nil { throw .invalidArgument }
        let pointer = try argument.load(cvfio_device_bind_iommufd(), Int(bind.argsz)).token_uuid_ptr
        guard pointer != 0, ProcessMemory.isMapped(pointer, 16, writable: false) else { throw .badAddress }
        var token = [UInt8](repeating: 0, count: 16)
        unsafe token.withUnsafeMutableBytes { unsafe ProcessMemory.read(pointer, into: $0) }
        return token
    }

    private func attach(_ function: PCIFunction, _ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var attach = try argument.load(cvfio_device_attach_iommufd_pt(), 12)
        if attach.argsz < 12 || attach.flags & ~CVFIO_DEVICE_ATTACH_PASID != 0 { throw .invalidArgument }
        guard let bound = function.boundDevice else { throw .invalidArgument }
        if attach.flags & CVFIO_DEVICE_ATTACH_PASID != 0 {
            if attach.argsz < 16 { throw .invalidArgument }
            let pasid = try argument.load(cvfio_device_attach_iommufd_pt(), 16).pasid
            return try iommufd.attach(bound, pasid: pasid, to: attach.pt_id, self)
        }
        attach.pt_id = try iommufd.attach(bound, to: attach.pt_id, self)
        try argument.store(attach, 12)
    }

    private func deviceInfo(_ function: PCIFunction, _ argument: Argument) throws(Errno) {
        var info = try argument.load(cvfio_device_info(), 16)
        if info.argsz < 16 { throw .invalidArgument }
        info.flags = CVFIO_DEVICE_FLAGS_PCI
        if function.hasReset { info.flags |= CVFIO_DEVICE_FLAGS_RESET }
        info.num_regions = function.regionCount
        info.num_irqs = CVFIO_PCI_NUM_IRQS
        try argument.store(info, min(Int(info.argsz), MemoryLayout<cvfio_device_info>.size))
    }

    private func regionInfo(_ function: PCIFunction, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_region_info>.size
        var info = try argument.load(cvfio_region_info())
        if Int(info.argsz) < size { throw .invalidArgument }
        // Without capabilities cap_offset stays what it was.
        info.flags = 0
        info.size = 0
        var chain = CapabilityChain()
        let index = info.index
        switch index {
        case CVFIO_PCI_CONFIG_REGION_INDEX:
            info.size = UInt64(function.config.byteCount)
            info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
        case CVFIO_PCI_BAR0_REGION_INDEX...CVFIO_PCI_BAR5_REGION_INDEX:
            info.size = function.barSize(Int(index))
            if info.size > 0 {
                info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
                if function.isMappable(Int(index)) {
                    info.flags |= CVFIO_REGION_INFO_FLAG_MMAP
                    if function.pci.msix?.bar == Int(index) {
                        chain.append(id: CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE, body: [])
                    }
                }
            }
        case CVFIO_PCI_ROM_REGION_INDEX: break
        case CVFIO_PCI_NUM_REGIONS..<function.regionCount:
            info.size = function.regionSize(Int(index))
            info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            chain = function.typeCapability(of: index)
        default: throw .invalidArgument
        }
        info.offset = UInt64(index) << 40
        try storeRegion(&info, chain, argument)
    }

    /// Answers with a region and its capabilities.
    func storeRegion(_ info: inout cvfio_region_info, _ chain: CapabilityChain, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_region_info>.size
        if !chain.isEmpty {
            info.flags |= CVFIO_REGION_INFO_FLAG_CAPS
            if Int(info.argsz) < size + chain.bytes.count {
                info.argsz = UInt32(size + chain.bytes.count)
                info.cap_offset = 0
            } else {
                try argument.store(bytes: chain.placed(at: size), at: size)
                info.cap_offset = UInt32(size)
            }
        }
        try argument.store(info)
    }
}
