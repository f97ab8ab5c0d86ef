internal import CVFIO
internal import Synchronization
internal import SystemPackage

/// A VFIO container with the type1v2 IOMMU driver, and its groups (`/dev/vfio/vfio`, `/dev/vfio/N`); or one without an
/// IOMMU, with the groups that VFIO creates for devices without one (`/dev/vfio/noiommu-N`).
///
/// The kernel creates a container's IOMMU with the first group, and destroys it, with every mapping, when the last
/// group leaves. So a group is kept while a device of it is open, and the last one while there are mappings: they
/// outlive the devices, as in an iommufd.
final class Type1Container: IOMMUBackend, ControlledFile {
    let kernel: any Kernel
    let descriptor: FileDescriptor
    let isNoIOMMU: Bool
    let state = Mutex(State())
    let devices = OpenDevices()
    let registeredFiles = RegisteredFiles()

    struct State {
        var groups: [Int: Group] = [:]
        var hasIOMMU = false
        var mappingCount = 0
        /// Whether the last group has no open device, and is kept only for mappings or tracking.
        var hasLateGroup = false
        /// Whether dirty pages are tracked; the tracking ends with the IOMMU, as mappings do.
        var isTracking = false
    }

    struct Group {
        let descriptor: FileDescriptor
        var devices: Set<DeviceAddress> = []
        /// The number of requests in progress that use the descriptor.
        var holdCount = 0
    }

    /// Keeps a group open for a request with its descriptor, until the last reference is released.
    private final class GroupHold: Sendable {
        private let container: Type1Container
        private let number: Int

        init(_ number: Int, of container: Type1Container) {
            self.container = container
            self.number = number
        }

        deinit {
            container.state.withLock { state in
                state.groups[number]?.holdCount -= 1
                try? container.prune(&state)
            }
        }
    }

    var name: String { "type1" }
    var importsDMABufs: Bool { false }
    var mapRequest: String { "VFIO_IOMMU_MAP_DMA" }
    var unmapRequest: String { "VFIO_IOMMU_UNMAP_DMA" }

    static let node: FilePath = "/dev/vfio/vfio"
    private static let noGroupNode = "the kernel makes no node for its group; AddressSpace(.iommufd) needs none"

    /// Opens a container, and checks that the kernel supports type1v2.
    ///
    /// type1 v1 is never used: it may split a mapping at an unmap, and merges adjacent mappings.
    ///
    /// - Parameter isNoIOMMU: Whether it is for devices without an IOMMU; the kernel must support that instead.
    init(kernel: any Kernel, isNoIOMMU: Bool = false) throws(VFIOError) {
        let operation = isNoIOMMU ? "open a container without IOMMU" : "open a type1 container"
        let opened = try attempt(
            operation, "\(Self.node)",
            refusals: .opening(
                "it",
                missing: "the module vfio is not loaded, or the kernel has no container interface; "
                    + "`vfioctl doctor` tells what is missing"),
            kernel.open(Self.node, .readWrite))
        let container = OwnedDescriptor(opened, of: kernel)
        let asking = ABI.Call.checkExtension.operation("ask the container what it can")
        let version = try attempt(asking, "\(Self.node)", ABI.getAPIVersion().perform(on: container))
        let isOffered = try attempt(
            asking, "\(Self.node)", ABI.checkExtension(Self.iommuType(isNoIOMMU)).perform(on: container))
        guard version == Int(CVFIO_API_VERSION) else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: "the kernel speaks VFIO API version \(version), and this library \(CVFIO_API_VERSION)")
        }
        guard isOffered else {
            throw VFIOError(
                .unsupported, operation, "\(Self.node)",
                hint: isNoIOMMU
                    ? Diagnosis.unsafeModeHint
                    : "the kernel does not offer type1v2; is the module vfio_iommu_type1 loaded?")
        }
        self.isNoIOMMU = isNoIOMMU
        self.kernel = kernel
        self.descriptor = container.release()
    }

    /// Returns the kernel's number of the IOMMU type.
    private static func iommuType(_ isNoIOMMU: Bool) -> UInt {
        isNoIOMMU ? CVFIO_NOIOMMU_IOMMU : CVFIO_TYPE1v2_IOMMU
    }

    deinit {
        state.withLock { state in
            for group in state.groups.values { try? kernel.close(group.descriptor) }
        }
        try? kernel.close(descriptor)
    }

    // MARK: Devices

    func open(
        _ address: DeviceAddress, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) -> OpenedDevice {
        let number = try attempt("find the IOMMU group", "\(address)", Sysfs(kernel: kernel).iommuGroup(of: address))
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
                // The kernel would open the device a second time, with two handles that do not notice each other's
                // resets.
                guard !group.devices.contains(address) else {
                    throw VFIOError(
                        .busy, "open the device", "\(address)", hint: "it is open in this address space already")
                }
                // After the group has its IOMMU, and before the device's driver is notified of the virtual machine.
                if let registrar { try registeredFiles.add(group.descriptor, to: registrar, subject: "\(address)") }
                let device: FileDescriptor
                do throws(VFIOError) {
                    device = try openDevice(address, token: token, in: group)
                } catch {
                    if registrar != nil { try? registeredFiles.remove(group.descriptor, subject: "\(address)") }
                    throw error
                }
                group.devices.insert(address)
                state.groups[number] = group
                return OpenedDevice(
                    descriptor: OwnedDescriptor(device, of: kernel),
                    membership: GroupMembership(group: number, device: address), iommufdNumber: nil,
                    registeredFile: registrar == nil ? nil : group.descriptor)
            } catch {
                // Report the first failure; a group without devices is not needed.
                try? prune(&state)
                throw error
            }
        }
    }

    func groupDescriptor(_ number: Int) -> FileDescriptor? { state.withLock { $0.groups[number]?.descriptor } }

    func holdGroup(_ number: Int) -> HeldGroup? {
        let descriptor = state.withLock { state in
            state.groups[number]?.holdCount += 1
            return state.groups[number]?.descriptor
        }
        return descriptor.map { HeldGroup(descriptor: $0, hold: GroupHold(number, of: self)) }
    }

    func release(_ membership: GroupMembership?) throws(VFIOError) {
        guard let membership else { return }
        try state.withLock { (state) throws(VFIOError) in
            state.groups[membership.group]?.devices.remove(membership.device)
            try prune(&state)
        }
    }

    /// Opens a group, adds it to the container, and sets the container's IOMMU if it is the first.
    private func attach(group number: Int, for address: DeviceAddress, _ state: inout State) throws(VFIOError)
        -> FileDescriptor
    {
        let node = FilePath(isNoIOMMU ? "/dev/vfio/noiommu-\(number)" : "/dev/vfio/\(number)")
        let group: OwnedDescriptor
        do throws(Errno) {
            group = OwnedDescriptor(try kernel.open(node, .readWrite), of: kernel)
        } catch {
            // A group has one node with one of two names: if the other one exists, it explains why this one is missing.
            if error == .noSuchFileOrDirectory {
                try Diagnosis(kernel: kernel).requireMatchingIOMMU(
                    of: address, group: number, expectingNoIOMMU: isNoIOMMU)
                throw Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode)
            }
            var refusals = [Errno: Refusal].opening("it", privilege: isNoIOMMU ? "it takes CAP_SYS_RAWIO" : nil)
            refusals[.resourceBusy] = (
                .busy, "another program, or another address space of this one, has the group open"
            )
            throw VFIOError(refused: error, "open the IOMMU group", "\(node)", refusals)
        }
        guard try ABI.isGroupViable().perform(on: group, "ask for the group's state", "\(node)") else {
            throw VFIOError(
                .groupNotViable, "open the IOMMU group", "\(node)",
                hint: Diagnosis(kernel: kernel).blockers(ofGroup: number)
                    ?? "a device of the group is used by something that sysfs does not show")
        }
        let diagnosis = Diagnosis(kernel: kernel)
        let module = isNoIOMMU ? nil : "vfio_iommu_type1"
        try ABI.setContainer(descriptor).perform(
            on: group, "put the group into the container", "\(node)",
            refusals: [
                .notPermitted: diagnosis.notPermitted(group: number, module: module),
                .invalidArgument: diagnosis.oneToOneMapping(ofGroup: number)
                    ?? (
                        .kernel,
                        state.hasIOMMU
                            ? "the IOMMU of the group cannot share an address space with that of the others" : nil
                    ),
                .resourceBusy: diagnosis.blockers(ofGroup: number).map { (.groupNotViable, $0) }
                    ?? (
                        .busy,
                        state.mappingCount > 0
                            ? "a mapping of the address space has given its address up and none was set since, or "
                                + "another program uses the group"
                            : "another program uses the group"
                    ),
            ])
        if !state.hasIOMMU {
            try ABI.setIOMMU(Self.iommuType(isNoIOMMU)).perform(
                on: self, "choose the \(isNoIOMMU ? "lack of an" : "type1v2") IOMMU", "\(node)",
                refusals: [
                    .notPermitted: diagnosis.notPermitted(group: number, module: module),
                    .invalidArgument: diagnosis.oneToOneMapping(ofGroup: number) ?? (.kernel, nil),
                ])
            state.hasIOMMU = true
        }
        return group.release()
    }

    private func openDevice(
        _ address: DeviceAddress, token: VFToken?, in group: Group
    ) throws(VFIOError) -> FileDescriptor {
        let name = address.description + (token.map { " vf_token=\($0)" } ?? "")
        do throws(VFIOError) {
            return try ABI.getGroupDevice(name).perform(
                on: BorrowedDescriptor(group.descriptor, of: kernel), "open the device", "\(address)",
                refusals: VFToken.refusals(given: token))
        } catch {
            guard error.errno == .operationNotSupportedByDevice else { throw error }
            throw Diagnosis(kernel: kernel).missingNode(of: address, hint: Self.noGroupNode)
        }
    }

    /// Closes the groups that are no longer needed.
    private func prune(_ state: inout State) throws(VFIOError) {
        var failure: VFIOError?
        state.hasLateGroup = false
        for (number, group) in state.groups where group.devices.isEmpty && group.holdCount == 0 {
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
        let operation = ABI.Call.getType1Info.operation("ask for the IOVA ranges")
        if isNoIOMMU {
            return try IOVALayout(
                ranges: [], alignment: UInt64(kernel.pageSize), operation: operation, subject: Type1Info.subject)
        }
        let info = try info(for: operation)
        var ranges = info.iovaRanges.map { $0.lowerBound.rawValue...$0.upperBound.rawValue }
        // The kernel reports no ranges if all devices are mediated: no hardware limits the addresses.
        if ranges.isEmpty { ranges = [0...UInt64.max] }
        return try IOVALayout(
            ranges: ranges,
            alignment: info.pageSizes.first ?? 0, operation: operation, subject: Type1Info.subject)
    }

    func info(for operation: String) throws(VFIOError) -> Type1Info {
        try requireIOMMU(for: operation)
        let answer = try ABI.getType1Info().perform(on: self, operation: operation, Type1Info.subject)
        return try Type1Info(answer, pageSize: kernel.pageSize)
    }

    func hasExtension(_ feature: Type1Extension) throws(VFIOError) -> Bool {
        try ABI.checkExtension(UInt(feature.rawValue)).perform(
            on: self, "ask for extension \(feature.rawValue)", Type1Info.subject)
    }

    func map(_ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess) throws(Errno) {
        let request = unsafe ABI.mapDMA(
            memory, at: iova, isReadable: access.contains(.read), isWritable: access.contains(.write))
        try state.withLock { (state) throws(Errno) in
            _ = try request.send(to: descriptor, of: kernel)
            state.mappingCount += 1
        }
    }

    func map(dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess) throws(Errno) {
        throw .notSupported
    }

    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64 {
        let request = ABI.unmapDMA(iova, byteCount: byteCount)
        return try state.withLock { (state) throws(Errno) in
            let unmapped = try request.send(to: descriptor, of: kernel).size
            noteUnmapping(of: unmapped, &state)
            return unmapped
        }
    }

    func noteUnmapping(of byteCount: UInt64, _ state: inout State) {
        // If nothing is mapped there, the size is 0 and there is no error.
        if byteCount > 0 { state.mappingCount -= 1 }
        // Only closing the last group can fail here, which does not concern this mapping.
        if state.hasLateGroup { try? prune(&state) }
    }

    /// Records that dirty pages are no longer tracked.
    func endTracking() {
        state.withLock { state in
            state.isTracking = false
            try? prune(&state)
        }
    }
}
