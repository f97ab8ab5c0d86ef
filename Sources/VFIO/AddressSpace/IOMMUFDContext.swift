internal import CVFIO
internal import SystemPackage

/// An IO address space (IOAS) of an iommufd, and the devices bound to it through their character devices (`/dev/iommu`,
/// `/dev/vfio/devices/vfioN`).
final class IOMMUFDContext: IOMMUBackend {
    let kernel: any Kernel
    private let descriptor: FileDescriptor
    private let ioas: UInt32

    var name: String { "iommufd" }
    var importsDMABufs: Bool { true }
    var mapRequest: String { "IOMMU_IOAS_MAP" }
    var unmapRequest: String { "IOMMU_IOAS_UNMAP" }

    static let node: FilePath = "/dev/iommu"

    init(kernel: any Kernel) throws(VFIOError) {
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try kernel.open(Self.node, .readWrite)
        } catch {
            throw switch error {
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                VFIOError(
                    .unsupported, "open an iommufd", "\(Self.node)", errno: error,
                    hint:
                        "iommufd needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV; AddressSpace(.type1) is "
                        + "the other way")
            case .permissionDenied, .notPermitted:
                VFIOError(
                    .permissionDenied, "open an iommufd", "\(Self.node)", errno: error,
                    hint: "the user needs read and write access to it")
            default:
                VFIOError(.kernel, "open an iommufd", "\(Self.node)", errno: error)
            }
        }
        let owned = OwnedDescriptor(opened, of: kernel)
        var request = ciommu_ioas_alloc()
        request.size = UInt32(MemoryLayout<ciommu_ioas_alloc>.size)
        do throws(Errno) {
            _ = try kernel.control(opened, CIOMMU_IOAS_ALLOC, with: &request)
        } catch {
            throw VFIOError(.kernel, "make an IO address space (IOMMU_IOAS_ALLOC)", "\(Self.node)", errno: error)
        }
        self.kernel = kernel
        self.ioas = request.out_ioas_id
        self.descriptor = owned.release()
    }

    deinit {
        // Closing the iommufd destroys its objects, whether or not each of them was destroyed before.
        try? kernel.close(descriptor)
    }

    // MARK: Devices

    func open(_ address: DeviceAddress) throws(VFIOError) -> OpenedDevice {
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
                    hint: "the user needs read and write access to the node")
            default:
                VFIOError(.kernel, "open the device", "\(address) (\(node))", errno: error)
            }
        }
        let device = OwnedDescriptor(opened, of: kernel)
        try bind(opened, address)
        try attach(opened, address)
        return OpenedDevice(descriptor: device, membership: nil)
    }

    private func bind(_ device: FileDescriptor, _ address: DeviceAddress) throws(VFIOError) {
        var request = cvfio_device_bind_iommufd()
        // Older kernels end the structure before the token, and refuse a longer one only when the rest is not zero.
        request.argsz = UInt32(MemoryLayout<cvfio_device_bind_iommufd>.offset(of: \.token_uuid_ptr)!)
        request.iommufd = descriptor.rawValue
        do throws(Errno) {
            _ = try kernel.control(device, CVFIO_DEVICE_BIND_IOMMUFD, with: &request)
        } catch {
            let operation = "bind the device to the iommufd (VFIO_DEVICE_BIND_IOMMUFD)"
            switch error {
            case .notPermitted:
                throw VFIOError(
                    .kernel, operation, "\(address)", errno: error,
                    hint:
                        "the platform does not remap interrupts, so the device's MSIs are not kept apart; the parameter "
                        + "allow_unsafe_interrupts of the module iommufd allows it all the same")
            case .permissionDenied:
                throw VFIOError(
                    .permissionDenied, operation, "\(address)", errno: error,
                    hint: "a virtual function needs the token of its physical function")
            case .resourceBusy:
                let group = (try? Sysfs(kernel: kernel).iommuGroup(of: address)) ?? nil
                if let hint = group.flatMap({ Diagnosis(kernel: kernel).blockers(ofGroup: $0) }) {
                    throw VFIOError(.groupNotViable, operation, "\(address)", errno: error, hint: hint)
                }
                throw VFIOError(
                    .busy, operation, "\(address)", errno: error,
                    hint: "another program, or another address space of this one, uses the device or its group")
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
        var request = ciommu_ioas_map_file()
        request.size = UInt32(MemoryLayout<ciommu_ioas_map_file>.size)
        request.flags = Self.flags(access)
        request.ioas_id = ioas
        request.fd = dmaBuf.rawValue
        request.start = 0
        request.length = byteCount
        request.iova = iova
        _ = try kernel.control(descriptor, CIOMMU_IOAS_MAP_FILE, with: &request)
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
