internal import CVFIO
internal import SystemPackage

/// An IO address space (IOAS) of an iommufd, and the devices bound to it through their character devices (`/dev/iommu`,
/// `/dev/vfio/devices/vfioN`).
final class IOMMUFDContext: IOMMUBackend {
    let file: IOMMUFDFile
    /// The number of the address space in the iommufd.
    let ioas: UInt32
    let isUnprotected: Bool
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

    /// Makes one more address space in an open iommufd.
    ///
    /// - Parameter isUnprotected: It is for devices without an IOMMU, for which the kernel keeps a page table that nothing
    ///   translates by.
    init(in file: IOMMUFDFile, isUnprotected: Bool = false) throws(VFIOError) {
        self.file = file
        self.isUnprotected = isUnprotected
        self.ioas = try file.makeIOAS()
    }

    deinit {
        // Nothing is mapped or attached any more. What the kernel keeps all the same ends with the iommufd.
        try? file.destroy(ioas)
    }

    // MARK: Devices

    func open(
        _ address: DeviceAddress, token: VFToken?, for machine: VirtualMachine?
    ) throws(VFIOError) -> OpenedDevice {
        let name: String?
        do throws(Errno) {
            name = try Sysfs(kernel: kernel).characterDevice(of: address)
        } catch {
            throw VFIOError(.kernel, "find the VFIO character device", "\(address)", errno: error)
        }
        guard let name else {
            throw Diagnosis(kernel: kernel).missingNode(
                of: address, hint: "the kernel has no CONFIG_VFIO_DEVICE_CDEV; AddressSpace(.type1) needs none")
        }
        // A mediated device has no IOMMU either, but its driver answers for its DMA, and its node is named as any other's.
        try Diagnosis(kernel: kernel).requireProtection(
            of: address, isUnprotected: name.hasPrefix("noiommu-"), not: isUnprotected)
        let node = FilePath("/dev/vfio/devices/\(name)")
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(node, .readWrite)
        } catch {
            throw switch error {
            case .noSuchFileOrDirectory:
                Diagnosis(kernel: kernel).missingNode(of: address, hint: "the node is missing; is devtmpfs mounted?")
            case .permissionDenied, .notPermitted:
                VFIOError(
                    .permissionDenied, "open the device", "\(address) (\(node))", errno: error,
                    hint: isUnprotected && error == .notPermitted
                        ? "it takes CAP_SYS_RAWIO" : "the user needs read and write access to the node")
            default:
                VFIOError(.kernel, "open the device", "\(address) (\(node))", errno: error)
            }
        }
        let device = OwnedDescriptor(opened, of: kernel)
        // The binding is when the device's driver is told of the machine.
        if let machine { try registeredFiles.add(opened, to: machine, subject: "\(address)") }
        do throws(VFIOError) {
            let number = try bind(opened, address, token)
            try attach(opened, address)
            return OpenedDevice(
                descriptor: device, membership: nil, iommufdNumber: number,
                registeredFile: machine == nil ? nil : opened)
        } catch {
            if machine != nil { try? registeredFiles.remove(opened, subject: "\(address)") }
            throw error
        }
    }

    private func bind(_ device: FileDescriptor, _ address: DeviceAddress, _ token: VFToken?) throws(VFIOError) -> UInt32
    {
        var request = cvfio_device_bind_iommufd()
        // Older kernels end the structure before the token, and refuse a longer one only when the rest is not zero.
        request.argsz = UInt32(MemoryLayout<cvfio_device_bind_iommufd>.offset(of: \.token_uuid_ptr)!)
        request.iommufd = descriptor.rawValue
        let bytes = RequestBuffer(byteCount: 16)
        if let token {
            for (offset, byte) in token.bytes.enumerated() { bytes.store(byte, at: offset) }
            request.argsz = UInt32(MemoryLayout<cvfio_device_bind_iommufd>.size)
            request.flags = CVFIO_DEVICE_BIND_FLAG_TOKEN
            request.token_uuid_ptr = unsafe UInt64(UInt(bitPattern: bytes.bytes.baseAddress))
        }
        do throws(Errno) {
            _ = try kernel.control(device, CVFIO_DEVICE_BIND_IOMMUFD, with: &request)
            // The request points to them.
            withExtendedLifetime(bytes) {}
            return request.out_devid
        } catch {
            let operation = "bind the device to the iommufd (VFIO_DEVICE_BIND_IOMMUFD)"
            let group = (try? Sysfs(kernel: kernel).iommuGroup(of: address)) ?? nil
            let blockers = group.flatMap { Diagnosis(kernel: kernel).blockers(ofGroup: $0) }
            switch error {
            case .notPermitted where blockers != nil, .resourceBusy where blockers != nil:
                throw VFIOError(.groupNotViable, operation, "\(address)", errno: error, hint: blockers)
            case .notPermitted:
                throw VFIOError(
                    .kernel, operation, "\(address)", errno: error,
                    hint:
                        "the platform does not remap interrupts, so the device's MSIs are not kept apart; the parameter "
                        + "allow_unsafe_interrupts of the module iommufd allows it all the same")
            case .permissionDenied:
                throw VFIOError(
                    .permissionDenied, operation, "\(address)", errno: error,
                    hint: VFToken.missingHint(given: token))
            case .resourceBusy:
                throw VFIOError(
                    .busy, operation, "\(address)", errno: error,
                    hint: "another program, or another address space of this one, uses the device or its group")
            case .invalidArgument where token != nil:
                throw VFIOError(.invalidArgument, operation, "\(address)", errno: error, hint: VFToken.uselessHint)
            case .argListTooLong where token != nil:
                throw VFIOError(
                    .unsupported, operation, "\(address)", errno: error,
                    hint: "this kernel takes tokens only by way of the group; see AddressSpace(.type1)")
            case .invalidArgument:
                throw VFIOError(
                    .busy, operation, "\(address)", errno: error,
                    hint: "the device is open already, here or in another program (or its IOMMU is not cache-coherent)")
            default:
                throw VFIOError(.kernel, operation, "\(address)", errno: error)
            }
        }
    }

    private func attach(_ device: FileDescriptor, _ address: DeviceAddress) throws(VFIOError) {
        var request = cvfio_device_attach_iommufd_pt()
        request.argsz = UInt32(MemoryLayout<cvfio_device_attach_iommufd_pt>.offset(of: \.pasid)!)
        request.pt_id = ioas
        do throws(Errno) {
            _ = try kernel.control(device, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, with: &request)
        } catch {
            throw VFIOError(
                .kernel, "attach the device to the address space (VFIO_DEVICE_ATTACH_IOMMUFD_PT)", "\(address)",
                errno: error,
                hint: error == .addressInUse
                    ? "addresses that are mapped already are reserved for this device; attach it before mapping" : nil)
        }
    }

    /// Nothing is left to be given back: closing the descriptor detaches and unbinds.
    func groupDescriptor(_ number: Int) -> FileDescriptor? { nil }

    func release(_ membership: GroupMembership?) {}

    // MARK: Mappings

    /// An IOAS can be filled before its first device.
    func requireIOMMU(for operation: String) {}

    func layout() throws(VFIOError) -> IOVALayout {
        let operation = "ask for the IOVA ranges (IOMMU_IOAS_IOVA_RANGES)"
        var capacity = 16
        // A second call is enough, unless a device came or went in between.
        for _ in 0..<4 {
            let room = RequestBuffer(byteCount: capacity * MemoryLayout<ciommu_iova_range>.size)
            var request = ciommu_ioas_iova_ranges()
            request.size = UInt32(MemoryLayout<ciommu_ioas_iova_ranges>.size)
            request.ioas_id = ioas
            request.num_iovas = UInt32(capacity)
            request.allowed_iovas = unsafe UInt64(UInt(bitPattern: room.bytes.baseAddress))
            do throws(Errno) {
                _ = try kernel.control(descriptor, CIOMMU_IOAS_IOVA_RANGES, with: &request)
            } catch .messageTooLong where request.num_iovas > capacity && request.num_iovas <= 1 << 16 {
                capacity = Int(request.num_iovas)
                continue
            } catch {
                throw VFIOError(.kernel, operation, "the IO address space", errno: error)
            }
            var ranges: [ClosedRange<UInt64>] = []
            for index in 0..<Int(request.num_iovas) {
                let offset = index * MemoryLayout<ciommu_iova_range>.size
                guard let range = room.load(ciommu_iova_range.self, at: offset), range.start <= range.last else {
                    throw VFIOError(
                        .unexpectedAnswer, operation, "the IO address space", hint: "the list of ranges is broken")
                }
                ranges.append(range.start...range.last)
            }
            return try IOVALayout(
                ranges: ranges, alignment: request.out_iova_alignment, operation: operation,
                subject: "the IO address space")
        }
        throw VFIOError(
            .unexpectedAnswer, operation, "the IO address space", hint: "the number of ranges grew with each call")
    }

    /// Whether the kernel knows a request, which is asked with a structure that is too short for any.
    func knows(_ feature: IOMMUFDFeature) throws(VFIOError) -> Bool {
        var size = UInt32(MemoryLayout<UInt32>.size)
        do throws(Errno) {
            _ = try kernel.control(descriptor, feature.request, with: &size)
            return true
        } catch .inappropriateIOCTLForDevice {
            return false
        } catch .invalidArgument {
            return true
        } catch {
            throw VFIOError(.kernel, "ask whether an iommufd can do \(feature)", "\(Self.node)", errno: error)
        }
    }

    func map(_ memory: UnsafeRawBufferPointer, at iova: UInt64, access: DMAAccess) throws(Errno) {
        var request = ciommu_ioas_map()
        request.size = UInt32(MemoryLayout<ciommu_ioas_map>.size)
        request.flags = Self.flags(access)
        request.ioas_id = ioas
        request.user_va = UInt64(UInt(bitPattern: memory.baseAddress))
        request.length = UInt64(memory.count)
        request.iova = iova
        _ = try kernel.control(descriptor, CIOMMU_IOAS_MAP, with: &request)
    }

    func map(dmaBuf: FileDescriptor, byteCount: UInt64, at iova: UInt64, access: DMAAccess) throws(Errno) {
        try map(file: dmaBuf, from: 0, byteCount: byteCount, at: iova, access: access)
    }

    func map(
        file: FileDescriptor, from start: UInt64, byteCount: UInt64, at iova: UInt64, access: DMAAccess
    ) throws(Errno) {
        var request = ciommu_ioas_map_file()
        request.size = UInt32(MemoryLayout<ciommu_ioas_map_file>.size)
        request.flags = Self.flags(access)
        request.ioas_id = ioas
        request.fd = file.rawValue
        request.start = start
        request.length = byteCount
        request.iova = iova
        _ = try kernel.control(descriptor, CIOMMU_IOAS_MAP_FILE, with: &request)
    }

    func copy(
        from source: UInt32, _ origin: UInt64, byteCount: UInt64, at iova: UInt64, access: DMAAccess
    ) throws(Errno) {
        var request = ciommu_ioas_copy()
        request.size = UInt32(MemoryLayout<ciommu_ioas_copy>.size)
        request.flags = Self.flags(access)
        request.dst_ioas_id = ioas
        request.src_ioas_id = source
        request.length = byteCount
        request.dst_iova = iova
        request.src_iova = origin
        _ = try kernel.control(descriptor, CIOMMU_IOAS_COPY, with: &request)
    }

    func unmap(_ iova: UInt64, byteCount: UInt64) throws(Errno) -> UInt64 {
        var request = ciommu_ioas_unmap()
        request.size = UInt32(MemoryLayout<ciommu_ioas_unmap>.size)
        request.ioas_id = ioas
        request.iova = iova
        request.length = byteCount
        _ = try kernel.control(descriptor, CIOMMU_IOAS_UNMAP, with: &request)
        return request.length
    }

    private static func flags(_ access: DMAAccess) -> UInt32 {
        var flags = CIOMMU_IOAS_MAP_FIXED_IOVA
        if access.contains(.read) { flags |= CIOMMU_IOAS_MAP_READABLE }
        if access.contains(.write) { flags |= CIOMMU_IOAS_MAP_WRITEABLE }
        return flags
    }
}
