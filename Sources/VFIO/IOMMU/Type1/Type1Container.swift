internal import CVFIO
internal import Synchronization
internal import SystemPackage

/// A VFIO container with the type1v2 IOMMU driver, and the groups in it (`/dev/vfio/vfio`, `/dev/vfio/N`); or one with no
/// IOMMU at all, and groups that VFIO made up for devices without one (`/dev/vfio/noiommu-N`).
///
/// The kernel gives a container its IOMMU with the first group, and takes it away, with every mapping, when the last
/// group leaves. So a group is kept for as long as a device of it is open, and the last one for as long as there are
/// mappings: they outlive the devices, as they do in an iommufd.
final class Type1Container: IOMMUBackend {
    let kernel: any Kernel
    let descriptor: FileDescriptor
    let isUnprotected: Bool
    let state = Mutex(State())
    let devices = OpenDevices()
    let registeredFiles = RegisteredFiles()

    struct State {
        var groups: [Int: Group] = [:]
        var hasIOMMU = false
        var mappingCount = 0
        /// The last group has no device any more, and is kept for what is mapped or tracked.
        var hasLateGroup = false
        /// Dirty pages are tracked; the tracking ends with the IOMMU, as mappings do.
        var isTracking = false
    }

    struct Group {
        let descriptor: FileDescriptor
        var devices: Set<DeviceAddress> = []
    }

    var name: String { "type1" }
    var importsDMABufs: Bool { false }
    var mapRequest: String { "VFIO_IOMMU_MAP_DMA" }
    var unmapRequest: String { "VFIO_IOMMU_UNMAP_DMA" }

    static let node: FilePath = "/dev/vfio/vfio"
    private static let noGroupNode = "the kernel makes no node for its group; AddressSpace(.iommufd) needs none"

    /// Opens a container, and makes sure that the kernel offers type1v2.
    ///
    /// type1 v1, which may split a mapping at an unmap and joins neighbours behind the caller's back, is never used.
    ///
    /// - Parameter isUnprotected: It is for devices without an IOMMU, and the kernel has to offer that instead.
    init(kernel: any Kernel, isUnprotected: Bool = false) throws(VFIOError) {
        let operation = isUnprotected ? "open a container without IOMMU" : "open a type1 container"
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(Self.node, .readWrite)
        } catch {
            throw switch error {
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                VFIOError(
                    .unsupported, operation, "\(Self.node)", errno: error,
                    hint: "the module vfio is not loaded, or the kernel has no container interface; "
                        + "`vfioctl doctor` tells what is missing")
            case .permissionDenied, .notPermitted:
                VFIOError(
                    .permissionDenied, operation, "\(Self.node)", errno: error,
                    hint: "the user needs read and write access to it")
            default:
                VFIOError(.kernel, operation, "\(Self.node)", errno: error)
            }
        }
        let container = OwnedDescriptor(opened, of: kernel)
        let version: Int
        let isOffered: Bool
        do throws(Errno) {
            version = try kernel.control(opened, CVFIO_GET_API_VERSION, value: 0)
            isOffered = try kernel.control(opened, CVFIO_CHECK_EXTENSION, value: Self.flavour(isUnprotected)) > 0
        } catch {
            throw VFIOError(
                .kernel, "ask the container what it can (VFIO_CHECK_EXTENSION)", "\(Self.node)", errno: error)
        }
        guard version == Int(CVFIO_API_VERSION) else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: "the kernel speaks VFIO API version \(version), and this library \(CVFIO_API_VERSION)")
        }
        guard isOffered else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: isUnprotected
                    ? Diagnosis.unsafeModeHint
                    : "the kernel does not offer type1v2; is the module vfio_iommu_type1 loaded?")
        }
        self.isUnprotected = isUnprotected
        self.kernel = kernel
        self.descriptor = container.release()
    }

    /// What the kernel calls the kind of IOMMU.
    private static func flavour(_ isUnprotected: Bool) -> UInt {
        isUnprotected ? CVFIO_NOIOMMU_IOMMU : CVFIO_TYPE1v2_IOMMU
    }

    deinit {
        state.withLock { state in
            for group in state.groups.values { try? kernel.close(group.descriptor) }
        }
        try? kernel.close(descriptor)
    }

    // MARK: Devices

    func open(
        _ address: DeviceAddress, token: VFToken?, for machine: VirtualMachine?
    ) throws(VFIOError) -> OpenedDevice {
        let number: Int?
        do throws(Errno) {
            number = try Sysfs(kernel: kernel).iommuGroup(of: address)
        } catch {
            throw VFIOError(.kernel, "find the IOMMU group", "\(address)", errno: error)
        }
        guard let number else { throw Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode) }
        return try state.withLock { (state) throws(VFIOError) -> OpenedDevice in
            var group: Group
            if let known = state.groups[number] {
                group = known
            } else {
                group = Group(descriptor: try attach(group: number, for: address, &state))
                state.groups[number] = group
            }
            do throws(VFIOError) {
                // The kernel would open it once more, as two handles that know nothing of each other's resets.
                guard !group.devices.contains(address) else {
                    throw VFIOError(
                        .busy, "open the device", "\(address)", hint: "it is open in this address space already")
                }
                // Now that the group has its IOMMU, and before the device's driver is told of the machine.
                if let machine { try registeredFiles.add(group.descriptor, to: machine, subject: "\(address)") }
                let device: FileDescriptor
                do throws(VFIOError) {
                    device = try openDevice(address, token: token, in: group)
                } catch {
                    if machine != nil { try? registeredFiles.remove(group.descriptor, subject: "\(address)") }
                    throw error
                }
                group.devices.insert(address)
                state.groups[number] = group
                return OpenedDevice(
                    descriptor: OwnedDescriptor(device, of: kernel),
                    membership: GroupMembership(group: number, device: address), iommufdNumber: nil,
                    registeredFile: machine == nil ? nil : group.descriptor)
            } catch {
                // The first failure is the one to hear of; a group without devices is of no use to anybody.
                try? prune(&state)
                throw error
            }
        }
    }

    func groupDescriptor(_ number: Int) -> FileDescriptor? { state.withLock { $0.groups[number]?.descriptor } }

    func release(_ membership: GroupMembership?) throws(VFIOError) {
        guard let membership else { return }
        try state.withLock { (state) throws(VFIOError) in
            state.groups[membership.group]?.devices.remove(membership.device)
            try prune(&state)
        }
    }

    /// Opens a group, puts it into the container, and gives the container its IOMMU if it is the first.
    private func attach(group number: Int, for address: DeviceAddress, _ state: inout State) throws(VFIOError)
        -> FileDescriptor
    {
        let node = FilePath(isUnprotected ? "/dev/vfio/noiommu-\(number)" : "/dev/vfio/\(number)")
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(node, .readWrite)
        } catch {
            // A group has one node, of either name: that of the other kind of device tells why this one is missing.
            if error == .noSuchFileOrDirectory {
                try Diagnosis(kernel: kernel).requireProtection(of: address, group: number, not: isUnprotected)
            }
            throw switch error {
            case .noSuchFileOrDirectory:
                Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode)
            case .resourceBusy:
                VFIOError(
                    .busy, "open the IOMMU group", "\(node)", errno: error,
                    hint: "another program, or another address space of this one, has the group open")
            case .permissionDenied, .notPermitted:
                VFIOError(
                    .permissionDenied, "open the IOMMU group", "\(node)", errno: error,
                    hint: isUnprotected && error == .notPermitted
                        ? "it takes CAP_SYS_RAWIO" : "the user needs read and write access to it")
            default:
                VFIOError(.kernel, "open the IOMMU group", "\(node)", errno: error)
            }
        }
        let group = OwnedDescriptor(opened, of: kernel)
        try requireViable(opened, number: number, node: node)
        do throws(Errno) {
            var container = descriptor.rawValue
            _ = try kernel.control(opened, CVFIO_GROUP_SET_CONTAINER, with: &container)
        } catch {
            let operation = "put the group into the container (VFIO_GROUP_SET_CONTAINER)"
            throw switch error {
            case .invalidArgument:
                VFIOError(
                    .kernel, operation, "\(node)", errno: error,
                    hint: "the IOMMU of the group cannot share an address space with that of the others")
            case .resourceBusy:
                VFIOError(
                    .busy, operation, "\(node)", errno: error,
                    hint: "a mapping of the address space has given its address up, and none was set since")
            default: VFIOError(.kernel, operation, "\(node)", errno: error)
            }
        }
        if !state.hasIOMMU {
            do throws(Errno) {
                _ = try kernel.control(descriptor, CVFIO_SET_IOMMU, value: Self.flavour(isUnprotected))
            } catch {
                throw VFIOError(
                    .kernel, "choose the \(isUnprotected ? "lack of an" : "type1v2") IOMMU (VFIO_SET_IOMMU)",
                    "\(node)", errno: error,
                    hint: error == .notPermitted
                        ? "the platform does not remap interrupts; the kernel log names the module parameter that "
                            + "allows it all the same" : nil)
            }
            state.hasIOMMU = true
        }
        return group.release()
    }

    private func requireViable(_ group: FileDescriptor, number: Int, node: FilePath) throws(VFIOError) {
        var status = cvfio_group_status()
        status.argsz = UInt32(MemoryLayout<cvfio_group_status>.size)
        do throws(Errno) {
            _ = try kernel.control(group, CVFIO_GROUP_GET_STATUS, with: &status)
        } catch {
            throw VFIOError(.kernel, "ask for the group's state (VFIO_GROUP_GET_STATUS)", "\(node)", errno: error)
        }
        guard status.flags & CVFIO_GROUP_FLAGS_VIABLE != 0 else {
            throw VFIOError(
                .groupNotViable, "open the IOMMU group", "\(node)",
                hint: Diagnosis(kernel: kernel).blockers(ofGroup: number))
        }
    }

    private func openDevice(
        _ address: DeviceAddress, token: VFToken?, in group: Group
    ) throws(VFIOError) -> FileDescriptor {
        let name = Array((address.description + (token.map { " vf_token=\($0)" } ?? "")).utf8)
        let buffer = RequestBuffer(byteCount: name.count + 1)
        for (offset, character) in name.enumerated() { buffer.store(character, at: offset) }
        do throws(Errno) {
            let device = try kernel.control(group.descriptor, CVFIO_GROUP_GET_DEVICE_FD, with: buffer)
            return FileDescriptor(rawValue: Int32(device))
        } catch {
            if error == .operationNotSupportedByDevice {
                throw Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode)
            }
            let operation = "open the device (VFIO_GROUP_GET_DEVICE_FD)"
            throw switch error {
            case .permissionDenied:
                VFIOError(
                    .permissionDenied, operation, "\(address)", errno: error, hint: VFToken.missingHint(given: token))
            case .invalidArgument where token != nil:
                VFIOError(.invalidArgument, operation, "\(address)", errno: error, hint: VFToken.uselessHint)
            default: VFIOError(.kernel, operation, "\(address)", errno: error)
            }
        }
    }

    /// Closes the groups that nothing needs any more.
    private func prune(_ state: inout State) throws(VFIOError) {
        var failure: VFIOError?
        state.hasLateGroup = false
        for (number, group) in state.groups where group.devices.isEmpty {
            if state.mappingCount > 0 || state.isTracking, state.groups.count == 1 {
                state.hasLateGroup = true
                break
            }
            state.groups[number] = nil
            if state.groups.isEmpty { state.hasIOMMU = false }
            do throws(Errno) {
                try kernel.close(group.descriptor)
            } catch {
                failure = VFIOError(.kernel, "close the IOMMU group", "/dev/vfio/\(number)", errno: error)
            }
        }
        if let failure { throw failure }
    }

    // MARK: Mappings

    func requireIOMMU(for operation: String) throws(VFIOError) {
        guard state.withLock({ $0.hasIOMMU }) else {
            throw VFIOError(
                .noDevice, operation, "the type1 container",
                hint: "a container has no IOMMU before its first device; open the device first")
        }
    }

    func layout() throws(VFIOError) -> IOVALayout {
        let operation = "ask for the IOVA ranges (VFIO_IOMMU_GET_INFO)"
        if isUnprotected {
            return try IOVALayout(
                ranges: [], alignment: UInt64(kernel.pageSize), operation: operation, subject: Type1Info.subject)
        }
        let info = try info(for: operation)
        var ranges = info.iovaRanges.map { $0.lowerBound.rawValue...$0.upperBound.rawValue }
        // So the kernel answers while all devices are mediated ones: there is no hardware to set a limit.
        if ranges.isEmpty { ranges = [0...UInt64.max] }
        return try IOVALayout(
            ranges: ranges,
            alignment: info.pageSizes.first ?? 0, operation: operation, subject: Type1Info.subject)
    }

    func info(for operation: String) throws(VFIOError) -> Type1Info {
        try requireIOMMU(for: operation)
        let answer = try GrowingRequest.perform(
            CVFIO_IOMMU_GET_INFO, cvfio_iommu_type1_info(), on: descriptor, of: kernel, operation: operation,
            subject: Type1Info.subject)
        return try Type1Info(answer, pageSize: kernel.pageSize)
    }

    func hasExtension(_ feature: Type1Extension) throws(VFIOError) -> Bool {
        do throws(Errno) {
            return try kernel.control(descriptor, CVFIO_CHECK_EXTENSION, value: UInt(feature.rawValue)) > 0
        } catch {
            throw VFIOError(
                .kernel, "ask for extension \(feature.rawValue) (VFIO_CHECK_EXTENSION)", Type1Info.subject,
                errno: error)
        }
    }

    func map(_ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess) throws(Errno) {
        var request = cvfio_iommu_type1_dma_map()
        request.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dma_map>.size)
        if access.contains(.read) { request.flags |= CVFIO_DMA_MAP_FLAG_READ }
        if access.contains(.write) { request.flags |= CVFIO_DMA_MAP_FLAG_WRITE }
        request.vaddr = UInt64(UInt(bitPattern: memory.baseAddress))
        request.iova = iova
        request.size = UInt64(memory.count)
        try state.withLock { (state) throws(Errno) in
            _ = try kernel.control(descriptor, CVFIO_IOMMU_MAP_DMA, with: &request)
            state.mappingCount += 1
        }
    }

    func map(dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess) throws(Errno) {
        throw .notSupported
    }

    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64 {
        var request = cvfio_iommu_type1_dma_unmap()
        request.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dma_unmap>.size)
        request.iova = iova
        request.size = byteCount
        return try state.withLock { (state) throws(Errno) in
            _ = try kernel.control(descriptor, CVFIO_IOMMU_UNMAP_DMA, with: &request)
            noteUnmapping(of: request.size, &state)
            return request.size
        }
    }

    /// Unmaps one mapping, by a request that may be longer than usual.
    func unmap(_ request: borrowing RequestBuffer) throws(Errno) -> UInt64 {
        try state.withLock { (state) throws(Errno) in
            _ = try kernel.control(descriptor, CVFIO_IOMMU_UNMAP_DMA, with: request)
            let unmapped = request.header(cvfio_iommu_type1_dma_unmap.self).size
            noteUnmapping(of: unmapped, &state)
            return unmapped
        }
    }

    private func noteUnmapping(of byteCount: UInt64, _ state: inout State) {
        // Nothing there to unmap is an answer of size 0, and no error.
        if byteCount > 0 { state.mappingCount -= 1 }
        // Only a group that closes late can fail here, and it has nothing to say about this mapping.
        if state.hasLateGroup { try? prune(&state) }
    }

    /// Notes that dirty pages are no longer tracked.
    func endTracking() {
        state.withLock { state in
            state.isTracking = false
            try? prune(&state)
        }
    }

    /// Gives the process's addresses of a mapping up, and gives the number of bytes.
    func giveUpAddress(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64 {
        var request = cvfio_iommu_type1_dma_unmap()
        request.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dma_unmap>.size)
        request.flags = CVFIO_DMA_UNMAP_FLAG_VADDR
        request.iova = iova
        request.size = byteCount
        _ = try kernel.control(descriptor, CVFIO_IOMMU_UNMAP_DMA, with: &request)
        return request.size
    }

    func setAddress(_ memory: UnsafeRawBufferPointer, at iova: UInt64) throws(Errno) {
        var request = cvfio_iommu_type1_dma_map()
        request.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dma_map>.size)
        request.flags = CVFIO_DMA_MAP_FLAG_VADDR
        request.vaddr = UInt64(UInt(bitPattern: memory.baseAddress))
        request.iova = iova
        request.size = UInt64(memory.count)
        _ = try kernel.control(descriptor, CVFIO_IOMMU_MAP_DMA, with: &request)
    }
}
