internal import CVFIO
internal import SystemPackage

/// An IO address space (IOAS) of an iommufd, and the devices bound to it through their character devices (`/dev/iommu`,
/// `/dev/vfio/devices/vfioN`).
final class IOMMUFDContext: IOMMUBackend, ControlledFile {
    let file: IOMMUFDFile
    /// The ID of the IOAS in the iommufd.
    let ioas: UInt32
    let isNoIOMMU: Bool
    let registeredFiles = RegisteredFiles()

    var kernel: any Kernel { file.kernel }
    var descriptor: FileDescriptor { file.descriptor }
    var devices: OpenDevices { file.devices }

    var name: String { "iommufd" }
    var importsDMABufs: Bool { true }
    var mapRequest: String { "IOMMU_IOAS_MAP" }
    var unmapRequest: String { "IOMMU_IOAS_UNMAP" }

    static var node: FilePath { IOMMUFDFile.node }

    convenience init(kernel: any Kernel) throws(VFIOError) { try self.init(in: try IOMMUFDFile(kernel: kernel)) }

    /// Creates another IOAS in an open iommufd.
    ///
    /// - Parameter isNoIOMMU: Whether it is for devices without an IOMMU, for which the kernel keeps a page table that
    ///   does not translate.
    init(in file: IOMMUFDFile, isNoIOMMU: Bool = false) throws(VFIOError) {
        self.file = file
        self.isNoIOMMU = isNoIOMMU
        self.ioas = try ABI.makeIOAS().perform(on: file, "make an IO address space", "\(Self.node)")
    }

    deinit {
        // Nothing is mapped or attached any more. If the kernel refuses, the IOAS is destroyed with the iommufd.
        try? ABI.destroy(ioas).perform(on: file)
    }

    // MARK: Devices

    func open(
        _ address: DeviceAddress, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) -> OpenedDevice {
        let name = try attempt(
            "find the VFIO character device", "\(address)", Sysfs(kernel: kernel).characterDevice(of: address))
        guard let name else {
            throw Diagnosis(kernel: kernel).missingNode(
                of: address, hint: "the kernel has no CONFIG_VFIO_DEVICE_CDEV; AddressSpace(.type1) needs none")
        }
        // A mediated device has no IOMMU either, but its driver handles its DMA, and its node has an ordinary name.
        try Diagnosis(kernel: kernel).requireMatchingIOMMU(
            of: address, isNoIOMMU: name.hasPrefix("noiommu-"), expectingNoIOMMU: isNoIOMMU)
        let node = FilePath("/dev/vfio/devices/\(name)")
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(node, .readWrite)
        } catch .noSuchFileOrDirectory {
            throw Diagnosis(kernel: kernel).missingNode(of: address, hint: "the node is missing; is devtmpfs mounted?")
        } catch {
            throw VFIOError(
                refused: error, "open the device", "\(address) (\(node))",
                .opening("the node", privilege: isNoIOMMU ? "it takes CAP_SYS_RAWIO" : nil))
        }
        let device = OwnedDescriptor(opened, of: kernel)
        // Before the binding, which notifies the device's driver of the virtual machine.
        if let registrar { try registeredFiles.add(opened, to: registrar, subject: "\(address)") }
        do throws(VFIOError) {
            let number = try bind(device, node, address, token)
            try ABI.attachDevice(to: ioas).perform(
                on: device, "attach the device to the address space", "\(address)",
                refusals: [
                    .addressInUse: (
                        .kernel,
                        "addresses that are mapped already are reserved for this device; attach it before mapping"
                    )
                ])
            return OpenedDevice(
                descriptor: device, membership: nil, iommufdNumber: number,
                registeredFile: registrar == nil ? nil : opened)
        } catch {
            if registrar != nil { try? registeredFiles.remove(opened, subject: "\(address)") }
            throw error
        }
    }

    private func bind(
        _ device: borrowing OwnedDescriptor, _ node: FilePath, _ address: DeviceAddress, _ token: VFToken?
    ) throws(VFIOError) -> UInt32 {
        let own = device.descriptor
        return try ABI.bindDevice(to: descriptor, token: token?.bytes).perform(
            on: device, "bind the device to the iommufd", "\(address)",
            refusals: bindRefusals(address, token, node, own))
    }

    private func bindRefusals(
        _ address: DeviceAddress, _ token: VFToken?, _ node: FilePath, _ own: FileDescriptor
    ) -> [Errno: Refusal] {
        let diagnosis = Diagnosis(kernel: kernel)
        let group = (try? Sysfs(kernel: kernel).iommuGroup(of: address)) ?? nil
        var refusals: [Errno: Refusal] = [
            .notPermitted: diagnosis.notPermitted(group: group, module: isNoIOMMU ? nil : "iommufd"),
            .resourceBusy: group.flatMap(diagnosis.blockers).map { (.groupNotViable, $0) }
                ?? (
                    .busy,
                    "another program, or another address space of this one, uses the device or its group"
                ),
            .invalidArgument: diagnosis.invalidBinding(
                of: address, group: group, node: node, own: own,
                isHeld: !devices.hold(where: { $0.address == address }).isEmpty),
        ]
        refusals.merge(VFToken.refusals(given: token)) { $1 }
        if token != nil {
            refusals[.argListTooLong] = (
                .unsupported, "this kernel takes tokens only by way of the group; see AddressSpace(.type1)"
            )
        }
        return refusals
    }

    /// There are no groups: closing the device's descriptor detaches and unbinds it.
    func groupDescriptor(_ number: Int) -> FileDescriptor? { nil }

    func holdGroup(_ number: Int) -> HeldGroup? { nil }

    func release(_ membership: GroupMembership?) {}

    // MARK: Mappings

    /// Always passes: an IOAS can have mappings before its first device.
    func requireIOMMU(for operation: String) {}

    func layout() throws(VFIOError) -> IOVALayout {
        let operation = ABI.Call.getIOVARanges.operation("ask for the IOVA ranges")
        let subject = "the IO address space"
        let answer = try ABI.getIOVARanges(ioas).perform(on: file, operation: operation, subject)
        return try IOVALayout(
            ranges: answer.ranges, alignment: answer.alignment, operation: operation, subject: subject)
    }

    /// Returns whether the kernel has a request.
    func knows(_ feature: IOMMUFDFeature) throws(VFIOError) -> Bool {
        try attempt("ask whether an iommufd can do \(feature)", "\(Self.node)", ABI.knows(feature.request, file))
    }

    func map(_ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess) throws(Errno) {
        _ = try unsafe ABI.mapMemory(
            ioas, memory, at: iova, isReadable: access.contains(.read), isWritable: access.contains(.write)
        ).send(to: file.descriptor, of: file.kernel)
    }

    func map(dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess) throws(Errno) {
        try map(file: dmaBuf, from: 0, byteCount: byteCount, at: iova, access: access)
    }

    func map(
        file: FileDescriptor, from start: UInt64, byteCount: UInt64, at iova: UInt64, access: DMAAccess
    ) throws(Errno) {
        try ABI.mapFile(
            ioas, file, from: start, byteCount: byteCount, at: iova, isReadable: access.contains(.read),
            isWritable: access.contains(.write)
        ).perform(on: self.file)
    }

    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64 {
        try ABI.unmap(ioas, iova, byteCount: byteCount).send(to: file.descriptor, of: file.kernel).length
    }
}
