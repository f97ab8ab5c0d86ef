internal import CVFIO
internal import Synchronization
internal import SystemPackage

/// A VFIO container with the type1v2 IOMMU driver, and the groups in it (`/dev/vfio/vfio`, `/dev/vfio/N`).
///
/// The kernel gives a container its IOMMU with the first group, and takes it away, with every mapping, when the last
/// group leaves. So a group is kept for as long as a device of it is open, and the last one for as long as there are
/// mappings: they outlive the devices, as they do in an iommufd.
final class Type1Container: IOMMUBackend {
    let kernel: any Kernel
    private let descriptor: FileDescriptor
    private let state = Mutex(State())

    private struct State {
        var groups: [Int: Group] = [:]
        var hasIOMMU = false
        var mappingCount = 0
    }

    private struct Group {
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
    init(kernel: any Kernel) throws(VFIOError) {
        let operation = "open a type1 container"
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(Self.node, .readWrite)
        } catch {
            throw switch error {
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                VFIOError(
                    .unsupported, operation, "\(Self.node)", errno: error,
                    hint: "the module vfio is not loaded, or the kernel has no container interface")
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
        let hasType1v2: Bool
        do throws(Errno) {
            version = try kernel.control(opened, CVFIO_GET_API_VERSION, value: 0)
            hasType1v2 = try kernel.control(opened, CVFIO_CHECK_EXTENSION, value: CVFIO_TYPE1v2_IOMMU) > 0
        } catch {
            throw VFIOError(
                .kernel, "ask the container what it can (VFIO_CHECK_EXTENSION)", "\(Self.node)", errno: error)
        }
        guard version == Int(CVFIO_API_VERSION) else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: "the kernel speaks VFIO API version \(version), and this library \(CVFIO_API_VERSION)")
        }
        guard hasType1v2 else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: "the kernel does not offer type1v2; is the module vfio_iommu_type1 loaded?")
        }
        self.kernel = kernel
        self.descriptor = container.release()
    }

    deinit {
        state.withLock { state in
            for group in state.groups.values { try? kernel.close(group.descriptor) }
        }
        try? kernel.close(descriptor)
    }

    // MARK: Devices

    func open(_ address: DeviceAddress) throws(VFIOError) -> OpenedDevice {
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
                let device = try openDevice(address, in: group)
                group.devices.insert(address)
                state.groups[number] = group
                return OpenedDevice(
                    descriptor: OwnedDescriptor(device, of: kernel),
                    membership: GroupMembership(group: number, device: address))
            } catch {
                // The first failure is the one to hear of; a group without devices is of no use to anybody.
                try? prune(&state)
                throw error
            }
        }
    }

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
        let node = FilePath("/dev/vfio/\(number)")
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(node, .readWrite)
        } catch {
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
                    hint: "the user needs read and write access to it")
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
            throw VFIOError(
                .kernel, "put the group into the container (VFIO_GROUP_SET_CONTAINER)", "\(node)", errno: error,
                hint: error == .invalidArgument
                    ? "the IOMMU of the group cannot share an address space with that of the others" : nil)
        }
        if !state.hasIOMMU {
            do throws(Errno) {
                _ = try kernel.control(descriptor, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU)
            } catch {
                throw VFIOError(
                    .kernel, "choose the type1v2 IOMMU (VFIO_SET_IOMMU)", "\(node)", errno: error,
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

    private func openDevice(_ address: DeviceAddress, in group: Group) throws(VFIOError) -> FileDescriptor {
        let name = Array(address.description.utf8)
        let buffer = RequestBuffer(byteCount: name.count + 1)
        for (offset, character) in name.enumerated() { buffer.store(character, at: offset) }
        do throws(Errno) {
            let device = try kernel.control(group.descriptor, CVFIO_GROUP_GET_DEVICE_FD, with: buffer)
            return FileDescriptor(rawValue: Int32(device))
        } catch {
            if error == .operationNotSupportedByDevice {
                throw Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode)
            }
            throw VFIOError(
                .kernel, "open the device (VFIO_GROUP_GET_DEVICE_FD)", "\(address)", errno: error,
                hint: error == .permissionDenied ? "a virtual function needs the token of its physical function" : nil)
        }
    }

    /// Closes the groups that nothing needs any more.
    private func prune(_ state: inout State) throws(VFIOError) {
        var failure: VFIOError?
        for (number, group) in state.groups where group.devices.isEmpty {
            if state.mappingCount > 0, state.groups.count == 1 { break }
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
        try requireIOMMU(for: operation)
        let answer = try GrowingRequest.perform(
            CVFIO_IOMMU_GET_INFO, cvfio_iommu_type1_info(), on: descriptor, of: kernel, operation: operation,
            subject: "the type1 container")
        let info = answer.header(cvfio_iommu_type1_info.self)
        var ranges: [ClosedRange<UInt64>] = []
        if info.flags & CVFIO_IOMMU_INFO_CAPS != 0 {
            try CapabilityChain.walk(
                answer, from: info.cap_offset, headerSize: MemoryLayout<cvfio_iommu_type1_info>.size,
                subject: "the type1 container"
            ) { (id, offset) throws(VFIOError) in
                if id == CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE { ranges = try Self.ranges(in: answer, at: offset) }
            }
        }
        let pageSizes = info.flags & CVFIO_IOMMU_INFO_PGSIZES != 0 ? info.iova_pgsizes : UInt64(kernel.pageSize)
        let smallest = pageSizes & (~pageSizes &+ 1)
        return try IOVALayout(
            ranges: ranges, alignment: smallest, operation: operation, subject: "the type1 container")
    }

    private static func ranges(in answer: borrowing RequestBuffer, at offset: Int) throws(VFIOError) -> [ClosedRange<
        UInt64
    >] {
        typealias Header = cvfio_iommu_type1_info_cap_iova_range
        guard let header = answer.load(Header.self, at: offset) else {
            throw CapabilityChain.truncated("IOVA ranges", subject: "the type1 container")
        }
        var ranges: [ClosedRange<UInt64>] = []
        for index in 0..<Int(header.nr_iovas) {
            let position = offset + MemoryLayout<Header>.size + index * MemoryLayout<cvfio_iova_range>.size
            guard let range = answer.load(cvfio_iova_range.self, at: position), range.start <= range.end else {
                throw CapabilityChain.truncated("IOVA ranges", subject: "the type1 container")
            }
            ranges.append(range.start...range.end)
        }
        return ranges
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
        try state.withLock { (state) throws(Errno) in
            _ = try kernel.control(descriptor, CVFIO_IOMMU_UNMAP_DMA, with: &request)
            // Nothing there to unmap is an answer of size 0, and no error.
            if request.size > 0 { state.mappingCount -= 1 }
            // Only a group that closes late can fail here, and it has nothing to say about this mapping.
            try? prune(&state)
        }
        return request.size
    }
}
