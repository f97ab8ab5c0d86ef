internal import CVFIO
internal import SystemPackage

/// A device as the iommufd knows it that it is bound to: a number, for which the IOMMU's objects are made.
///
/// What can be done with it needs no descriptor of the device, so that it holds as well for devices that are not VFIO's.
struct BoundDevice: Sendable {
    let id: UInt32
    /// Of the iommufd; what page tables are made from when nothing else is said.
    let space: AddressSpace
    let file: IOMMUFDFile
    /// For errors.
    let name: String
    /// The device behind it, which objects that end with it keep open.
    private let core: DeviceCore?

    static let makesPageTable = "make a page table (IOMMU_HWPT_ALLOC)"

    init(_ id: UInt32, in space: AddressSpace, _ file: IOMMUFDFile, name: String, core: DeviceCore? = nil) {
        self.id = id
        self.space = space
        self.file = file
        self.name = name
        self.core = core
    }

    // MARK: What the hardware is

    func hardware() throws(VFIOError) -> IOMMUHardware {
        let data = RequestBuffer(byteCount: 256)
        var request = ciommu_hw_info()
        request.size = UInt32(MemoryLayout<ciommu_hw_info>.size)
        request.dev_id = id
        request.data_len = UInt32(data.byteCount)
        request.data_uptr = data.address
        do throws(Errno) {
            _ = try unsafe withUnsafeMutableBytes(of: &request) { (bytes) throws(Errno) in
                try unsafe file.kernel.control(file.descriptor, CIOMMU_GET_HW_INFO, bytes)
            }
        } catch {
            throw refusal(
                error, "ask what the IOMMU is (IOMMU_GET_HW_INFO)", "this kernel or this IOMMU does not tell")
        }
        return IOMMUHardware(
            type: request.out_data_type, capabilities: request.out_capabilities, pasidBits: request.out_max_pasid_log2,
            data, byteCount: Int(request.data_len))
    }

    // MARK: Page tables

    /// A page table with an address space's mappings.
    func makePageTable(
        of space: AddressSpace?, options: HardwarePageTable.Options, faults: IOMMUFDObject?
    ) throws(VFIOError) -> HardwarePageTable {
        let space = space ?? self.space
        let ioas = try number(of: space, Self.makesPageTable)
        if let faults { try require(faults, Self.makesPageTable) }
        let number: UInt32
        do throws(Errno) {
            number = try allocate(ioas, options, faults: faults, type: CIOMMU_HWPT_DATA_NONE, data: [])
        } catch {
            throw refusal(error, Self.makesPageTable, "the IOMMU of the device cannot do this")
        }
        let table = HardwarePageTable(
            object: IOMMUFDObject(number, "the page table", of: space, in: file, holding: faults.map { [$0] } ?? []),
            options: options)
        // The IOMMU may reach less than could be mapped before.
        try space.refresh()
        return table
    }

    /// A page table that a guest keeps.
    ///
    /// - Parameter parent: The page table below it, or the virtual IOMMU that it is in.
    func makePageTable(
        in parent: IOMMUFDObject, _ guest: GuestTranslation, options: HardwarePageTable.Options, faults: IOMMUFDObject?
    ) throws(VFIOError) -> NestedPageTable {
        let operation = "make a nested page table (IOMMU_HWPT_ALLOC)"
        try require(parent, operation)
        if let faults { try require(faults, operation) }
        let (type, data) = guest.request
        guard !data.isEmpty else {
            throw VFIOError(.invalidArgument, operation, name, hint: "what the guest's page table is has no bytes")
        }
        let number: UInt32
        do throws(Errno) {
            number = try allocate(parent.id, options, faults: faults, type: type, data: data)
        } catch {
            if error == .invalidArgument {
                throw VFIOError(
                    .invalidArgument, operation, name, errno: error,
                    hint:
                        "the page table below has to be a nesting parent of the same IOMMU, and the guest's what that IOMMU "
                        + "takes")
            }
            throw refusal(error, operation, "the IOMMU of the device does not nest page tables of this kind")
        }
        let object = IOMMUFDObject(
            number, "the nested page table", of: parent.space, in: file,
            holding: [parent] + (faults.map { [$0] } ?? []))
        return NestedPageTable(object: object)
    }

    private func allocate(
        _ parent: UInt32, _ options: HardwarePageTable.Options, faults: IOMMUFDObject?, type: UInt32,
        data: [UInt8]
    ) throws(Errno) -> UInt32 {
        let data = RequestBuffer(data)
        var request = ciommu_hwpt_alloc()
        request.size = UInt32(MemoryLayout<ciommu_hwpt_alloc>.size)
        request.flags = options.rawValue | (faults == nil ? 0 : CIOMMU_HWPT_FAULT_ID_VALID)
        request.dev_id = id
        request.pt_id = parent
        request.fault_id = faults?.id ?? 0
        request.data_type = type
        request.data_len = UInt32(data.byteCount)
        request.data_uptr = data.byteCount > 0 ? data.address : 0
        _ = try file.kernel.control(file.descriptor, CIOMMU_HWPT_ALLOC, with: &request)
        return request.out_hwpt_id
    }

    // MARK: Virtual IOMMUs

    func makeVirtualIOMMU(_ kind: VirtualIOMMU.Kind, over parent: IOMMUFDObject) throws(VFIOError) -> VirtualIOMMU {
        let operation = "make a virtual IOMMU (IOMMU_VIOMMU_ALLOC)"
        try require(parent, operation)
        let (type, given) = kind.request
        let data = RequestBuffer(given)
        var request = ciommu_viommu_alloc()
        request.size = UInt32(MemoryLayout<ciommu_viommu_alloc>.size)
        request.type = type
        request.dev_id = id
        request.hwpt_id = parent.id
        request.data_len = UInt32(data.byteCount)
        request.data_uptr = data.byteCount > 0 ? data.address : 0
        do throws(Errno) {
            _ = try file.kernel.control(file.descriptor, CIOMMU_VIOMMU_ALLOC, with: &request)
        } catch {
            if error == .invalidArgument {
                throw VFIOError(
                    .invalidArgument, operation, name, errno: error,
                    hint: "the page table below has to be a nesting parent")
            }
            throw refusal(error, operation, "the kernel (Linux 6.13) or the IOMMU has no virtual IOMMUs of this kind")
        }
        let object = IOMMUFDObject(
            request.out_viommu_id, "the virtual IOMMU", of: parent.space, in: file, holding: [parent])
        return VirtualIOMMU(object, kind, data)
    }

    func makeVirtualDevice(in viommu: IOMMUFDObject, number: UInt64) throws(VFIOError) -> VirtualDevice {
        let operation = "name the device in a virtual IOMMU (IOMMU_VDEVICE_ALLOC)"
        try require(viommu, operation)
        var request = ciommu_vdevice_alloc()
        request.size = UInt32(MemoryLayout<ciommu_vdevice_alloc>.size)
        request.viommu_id = viommu.id
        request.dev_id = id
        request.virt_id = number
        do throws(Errno) {
            _ = try file.kernel.control(file.descriptor, CIOMMU_VDEVICE_ALLOC, with: &request)
        } catch {
            switch error {
            case .fileExists:
                throw VFIOError(
                    .busy, operation, name, errno: error,
                    hint: "the device has a name in a virtual IOMMU, or another one has the name \(number.hexadecimal)")
            case .invalidArgument:
                throw VFIOError(
                    .invalidArgument, operation, name, errno: error,
                    hint: "the virtual IOMMU is of another IOMMU than the device's, or takes no such number")
            default: throw refusal(error, operation, "the kernel (Linux 6.13) lacks it")
            }
        }
        // The kernel ends it together with the device, so the device stays for as long.
        let lease = core.map { DeviceLease($0, for: .virtualDevice) }
        let object = IOMMUFDObject(
            request.out_vdevice_id, "the virtual device", of: viommu.space, in: file,
            holding: [viommu] + (lease.map { [$0] } ?? []))
        return VirtualDevice(object: object, number: number)
    }

    // MARK: -

    /// Refuses objects of other iommufds, whose numbers mean something else here.
    func require(_ object: IOMMUFDObject, _ operation: String) throws(VFIOError) {
        guard object.file === file else { throw stranger(operation) }
    }

    func number(of space: AddressSpace, _ operation: String) throws(VFIOError) -> UInt32 {
        guard let other = space.backend as? IOMMUFDContext, other.file === file else { throw stranger(operation) }
        return other.ioas
    }

    private func stranger(_ operation: String) -> VFIOError {
        VFIOError(
            .invalidArgument, operation, name,
            hint: "it is not of the iommufd that the device is bound to; see AddressSpace.makeSibling()")
    }

    private func refusal(_ errno: Errno, _ operation: String, _ hint: String) -> VFIOError {
        let isLacking = errno == .notSupported || errno == .inappropriateIOCTLForDevice
        return VFIOError(
            isLacking ? .unsupported : .kernel, operation, name, errno: errno, hint: isLacking ? hint : nil)
    }
}
