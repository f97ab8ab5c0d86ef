internal import CVFIO
import SystemPackage
import VFIO

extension Core {
    /// Drivers of the kernel that do no DMA, and so may hold devices of a group that a process has.
    private static let harmlessDrivers: Set<String> = ["vfio-pci", "pci-stub", "pcieport"]

    /// A device of the group is held by a driver of the kernel that does DMA.
    func isClaimedByHost(_ number: Int) -> Bool {
        functions(inGroup: number).contains { $0.driver.map { !Self.harmlessDrivers.contains($0) } ?? false }
    }

    /// Opens `/dev/vfio/NUMBER`, or `/dev/vfio/noiommu-NUMBER`.
    func openGroup(_ number: Int, hasIOMMU: Bool) throws(Errno) -> FileDescriptor {
        let group = groups[number] ?? VFIOGroup(number)
        group.hasIOMMU = hasIOMMU
        groups[number] = group
        if group.nodeCount > 0 || group.file != nil { throw .resourceBusy }
        let (file, descriptor) = try makeFile(.group(group))
        group.file = file
        return descriptor
    }

    private func leaveIOMMUFD(_ group: VFIOGroup) {
        guard let file = group.iommufd else { return }
        group.iommufd = nil
        unhold(file)
    }

    func closeGroup(_ group: VFIOGroup) {
        leaveContainer(group)
        leaveIOMMUFD(group)
        group.file = nil
    }

    private func leaveContainer(_ group: VFIOGroup) {
        guard let container = group.container else { return }
        for function in functions(inGroup: group.number) { function.space = nil }
        group.container = nil
        container.groups.removeAll { $0 === group }
        noteKinds(of: container)
        if container.groups.isEmpty {
            container.iommu?.unmapAll()
            container.iommu = nil
            container.hasChosenNone = false
        }
    }

    func groupControl(_ group: VFIOGroup, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GROUP_GET_STATUS:
            var status = try argument.load(cvfio_group_status())
            if status.argsz < UInt32(MemoryLayout<cvfio_group_status>.size) { throw .invalidArgument }
            status.flags = 0
            if group.container != nil || group.iommufd != nil {
                status.flags = CVFIO_GROUP_FLAGS_CONTAINER_SET | CVFIO_GROUP_FLAGS_VIABLE
            } else if !isClaimedByHost(group.number) && group.owner == nil {
                status.flags = CVFIO_GROUP_FLAGS_VIABLE
            }
            try argument.store(status)
            return 0
        case CVFIO_GROUP_SET_CONTAINER:
            try setContainer(group, FileDescriptor(rawValue: try argument.load(Int32(0))))
            return 0
        case CVFIO_GROUP_UNSET_CONTAINER:
            if group.iommufd != nil {
                leaveIOMMUFD(group)
                return 0
            }
            guard group.container != nil else { throw .invalidArgument }
            guard group.deviceCount == 0 else { throw .resourceBusy }
            leaveContainer(group)
            return 0
        case CVFIO_GROUP_GET_DEVICE_FD:
            return Int(try openDevice(named: try argument.text(limit: 4096), group).rawValue)
        default: throw .inappropriateIOCTLForDevice
        }
    }

    private func setContainer(_ group: VFIOGroup, _ descriptor: FileDescriptor) throws(Errno) {
        let file = self.file(descriptor)
        if file == nil { _ = try checkDescriptor(descriptor) }
        if group.container != nil || group.iommufd != nil { throw .invalidArgument }
        if let file, case .iommufd(let iommufd) = file.object {
            try joinIOMMUFD(iommufd, group)
            group.iommufd = file
            hold(file)
            return
        }
        guard case .container(let container)? = file?.object else {
            throw isOld ? .invalidArgument : .badDescriptorState
        }
        // Groups with an IOMMU and groups without do not mix.
        if let other = container.groups.first, other.hasIOMMU != group.hasIOMMU { throw .notPermitted }
        if isClaimedByHost(group.number) || group.owner != nil { throw .notPermitted }
        if container.iommu?.list.areas.contains(where: \.hasLostAddress) == true { throw .resourceBusy }
        if let iommu = container.iommu, !isEmulated(group) {
            if !iommu.fitsHardware { throw .invalidArgument }
            try iommu.pinAll { (area) throws(Errno) in
                try pin(area.address, area.byteCount, writable: area.isWritable, allowsBARs: true)
            }
        }
        group.container = container
        container.groups.append(group)
        noteKinds(of: container)
        if let iommu = container.iommu { for function in functions(inGroup: group.number) { function.space = iommu } }
    }

    /// Whether a group is of a mediated device, which has no IOMMU of its own.
    private func isEmulated(_ group: VFIOGroup) -> Bool {
        functions(inGroup: group.number).contains { $0.mediated != nil }
    }

    private func noteKinds(of container: Container) {
        container.iommu?.hasEmulated = container.groups.contains(where: isEmulated)
        container.iommu?.hasDomain = container.groups.contains { !isEmulated($0) }
    }

    /// `EBADF` for a number that is no descriptor of the process.
    func checkDescriptor(_ descriptor: FileDescriptor) throws(Errno) {
        let copy = try host.duplicate(descriptor)
        try host.close(copy)
    }

    // MARK: Container

    func openContainer() throws(Errno) -> FileDescriptor { try makeFile(.container(Container())).1 }

    func containerControl(_ container: Container, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GET_API_VERSION: return Int(CVFIO_API_VERSION)
        case CVFIO_CHECK_EXTENSION: return hasExtension(argument.value, container) ? 1 : 0
        case CVFIO_SET_IOMMU:
            if container.groups.isEmpty || container.hasDriver { throw .invalidArgument }
            let type = argument.value
            if container.isUnprotected {
                guard type == CVFIO_NOIOMMU_IOMMU else { throw .operationNotSupportedByDevice }
                container.hasChosenNone = true
                return 0
            }
            let types = [CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_TYPE1_NESTING_IOMMU]
            guard types.contains(type), type1HasExtension(type, nil) else { throw .operationNotSupportedByDevice }
            let iommu = Type1IOMMU(isVersion2: type != CVFIO_TYPE1_IOMMU, iommu: self.iommu)
            container.iommu = iommu
            noteKinds(of: container)
            for group in container.groups {
                for function in functions(inGroup: group.number) { function.space = iommu }
            }
            return 0
        default:
            if container.hasChosenNone { throw .inappropriateIOCTLForDevice }
            guard let iommu = container.iommu else { throw .invalidArgument }
            return try type1Control(iommu, request, argument)
        }
    }

    /// Before there is a driver, all of them are asked that the container's groups allow.
    private func hasExtension(_ number: UInt, _ container: Container) -> Bool {
        let asksNone =
            container.hasDriver ? container.hasChosenNone : container.groups.isEmpty || container.isUnprotected
        if asksNone, number == CVFIO_NOIOMMU_IOMMU, release.hasUnsafeNoIOMMUMode { return true }
        return !container.isUnprotected && type1HasExtension(number, container.iommu)
    }

    private func type1HasExtension(_ number: UInt, _ iommu: Type1IOMMU?) -> Bool {
        switch number {
        case CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_UNMAP_ALL: true
        case CVFIO_TYPE1_NESTING_IOMMU: isOld
        case CVFIO_UPDATE_VADDR: iommu.map { !$0.hasEmulated } ?? false
        // CVFIO_DMA_CC_IOMMU among them: the IOMMU cannot enforce what a device asks not to snoop.
        default: false
        }
    }
}
