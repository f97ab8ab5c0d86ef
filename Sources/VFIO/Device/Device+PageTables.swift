internal import CVFIO
internal import Synchronization
internal import SystemPackage

/// Where the DMA of a device goes that is bound to an iommufd, and what is kept alive for it.
enum DeviceAttachment: Sendable {
    case space(AddressSpace)
    case table(IOMMUFDObject)
}

extension Device {
    /// What the IOMMU behind the device is, and what it can do (`IOMMU_GET_HW_INFO`).
    ///
    /// - Throws: `.unsupported` with type1, and before Linux 6.6.
    public func iommuHardware() throws(VFIOError) -> IOMMUHardware {
        let operation = "ask what the IOMMU is (IOMMU_GET_HW_INFO)"
        let (context, id) = try iommufd(for: operation)
        let data = RequestBuffer(byteCount: 256)
        var request = ciommu_hw_info()
        request.size = UInt32(MemoryLayout<ciommu_hw_info>.size)
        request.dev_id = id
        request.data_len = UInt32(data.byteCount)
        request.data_uptr = unsafe UInt64(UInt(bitPattern: data.bytes.baseAddress))
        do throws(Errno) {
            _ = try unsafe withUnsafeMutableBytes(of: &request) { (bytes) throws(Errno) in
                try unsafe core.kernel.control(context.descriptor, CIOMMU_GET_HW_INFO, bytes)
            }
        } catch {
            throw Self.refusal(error, operation, "\(address)", "this kernel or this IOMMU does not tell")
        }
        return IOMMUHardware(
            type: request.out_data_type, capabilities: request.out_capabilities, pasidBits: request.out_max_pasid_log2,
            data, byteCount: Int(request.data_len))
    }

    /// Makes a page table for this device, and others behind the same IOMMU (`IOMMU_HWPT_ALLOC`).
    ///
    /// - Parameters:
    ///   - space: The address space whose mappings it has: of the same iommufd. `nil` for the one of the device.
    ///   - options: What it can do beyond translation.
    /// - Throws: `.unsupported` with type1, and for what the IOMMU cannot do; `.invalidArgument` for an address space of
    ///   another iommufd.
    public func makePageTable(
        of space: AddressSpace? = nil, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> HardwarePageTable {
        try makePageTable(of: space, flags: options.rawValue, queue: nil)
    }

    /// Makes a page table whose faults the process answers, as long as the queue is open.
    ///
    /// - Throws: As the other; `.unsupported` before Linux 6.11. Whether the device can ask for pages is seen when it is
    ///   attached.
    public func makePageTable(
        of space: AddressSpace? = nil, options: HardwarePageTable.Options = [], faults: borrowing FaultQueue
    ) throws(VFIOError) -> HardwarePageTable {
        try makePageTable(of: space, flags: options.rawValue | CIOMMU_HWPT_FAULT_ID_VALID, queue: faults.object)
    }

    private func makePageTable(of space: AddressSpace?, flags: UInt32, queue: IOMMUFDObject?) throws(VFIOError)
        -> HardwarePageTable
    {
        let operation = "make a page table (IOMMU_HWPT_ALLOC)"
        let (context, id) = try iommufd(for: operation)
        let space = space ?? self.space
        let ioas = try number(of: space, in: context, operation)
        var request = ciommu_hwpt_alloc()
        request.size = UInt32(MemoryLayout<ciommu_hwpt_alloc>.size)
        request.flags = flags
        request.dev_id = id
        request.pt_id = ioas
        request.fault_id = queue?.id ?? 0
        do throws(Errno) {
            _ = try core.kernel.control(context.descriptor, CIOMMU_HWPT_ALLOC, with: &request)
        } catch {
            throw Self.refusal(error, operation, "\(address)", "the IOMMU of the device cannot do this")
        }
        let table = HardwarePageTable(
            object: IOMMUFDObject(
                request.out_hwpt_id, "the page table", of: space, in: context.file,
                holding: queue.map { [$0] } ?? []))
        // The IOMMU may reach less than could be mapped before.
        try space.refresh()
        return table
    }

    // MARK: Attachment

    /// Sends the device's DMA to a page table from now on, instead of what it was attached to
    /// (`VFIO_DEVICE_ATTACH_IOMMUFD_PT`).
    ///
    /// The page table lives for as long as a device is attached to it.
    ///
    /// - Throws: `.unsupported` with type1; `.invalidArgument` for a page table of another iommufd; `.kernel` when the
    ///   device cannot use it, and stays where it was.
    public func attach(to table: borrowing HardwarePageTable) throws(VFIOError) {
        let operation = "attach the device to a page table (VFIO_DEVICE_ATTACH_IOMMUFD_PT)"
        let (context, _) = try iommufd(for: operation)
        guard table.object.file === context.file else { throw stranger(operation) }
        try attach(table.object.id, .table(table.object), operation)
    }

    /// Sends the device's DMA to another address space from now on (`VFIO_DEVICE_ATTACH_IOMMUFD_PT`).
    ///
    /// ``space`` stays the one that the device was opened into.
    ///
    /// - Parameter other: Of the same iommufd: ``AddressSpace/makeSibling()``.
    /// - Throws: As with a page table.
    public func attach(to other: AddressSpace) throws(VFIOError) {
        let operation = "attach the device to an address space (VFIO_DEVICE_ATTACH_IOMMUFD_PT)"
        let (context, _) = try iommufd(for: operation)
        try attach(try number(of: other, in: context, operation), .space(other), operation)
        // The device may have narrowed what can be mapped.
        try other.refresh()
    }

    /// Blocks the device's DMA, until it is attached again (`VFIO_DEVICE_DETACH_IOMMUFD_PT`).
    ///
    /// - Throws: `.unsupported` with type1.
    public func detach() throws(VFIOError) {
        let operation = "detach the device (VFIO_DEVICE_DETACH_IOMMUFD_PT)"
        _ = try iommufd(for: operation)
        var request = cvfio_device_detach_iommufd_pt()
        request.argsz = UInt32(MemoryLayout<cvfio_device_detach_iommufd_pt>.offset(of: \.pasid)!)
        do throws(Errno) {
            try core.changeAttachment(to: nil) { () throws(Errno) in
                _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_DETACH_IOMMUFD_PT, with: &request)
            }
        } catch {
            throw VFIOError(.kernel, operation, "\(address)", errno: error)
        }
    }

    /// Sends the DMA with a PASID of the device to a page table made for it (`VFIO_DEVICE_ATTACH_PASID`), which has to live
    /// until ``detach(pasid:)``: afterwards it is destroyed only with the iommufd.
    ///
    /// - Throws: `.unsupported` with type1, before Linux 6.15, and where the device or the page table has no PASIDs.
    public func attach(to table: borrowing HardwarePageTable, pasid: UInt32) throws(VFIOError) {
        let operation = "attach a PASID to a page table (VFIO_DEVICE_ATTACH_IOMMUFD_PT)"
        let (context, _) = try iommufd(for: operation)
        guard table.object.file === context.file else { throw stranger(operation) }
        var request = cvfio_device_attach_iommufd_pt()
        request.argsz = UInt32(MemoryLayout<cvfio_device_attach_iommufd_pt>.size)
        request.flags = CVFIO_DEVICE_ATTACH_PASID
        request.pt_id = table.object.id
        request.pasid = pasid
        do throws(Errno) {
            _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, with: &request)
        } catch {
            let isLacking = error == .invalidArgument || error == .notSupported
            throw VFIOError(
                isLacking ? .unsupported : .kernel, operation, "PASID \(pasid) of \(address)", errno: error,
                hint: isLacking ? "device and page table both have to be made for PASIDs" : nil)
        }
    }

    /// Blocks the DMA with a PASID of the device (`VFIO_DEVICE_DETACH_PASID`). One that is not attached stays so.
    public func detach(pasid: UInt32) throws(VFIOError) {
        let operation = "detach a PASID (VFIO_DEVICE_DETACH_IOMMUFD_PT)"
        _ = try iommufd(for: operation)
        var request = cvfio_device_detach_iommufd_pt()
        request.argsz = UInt32(MemoryLayout<cvfio_device_detach_iommufd_pt>.size)
        request.flags = CVFIO_DEVICE_DETACH_PASID
        request.pasid = pasid
        do throws(Errno) {
            _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_DETACH_IOMMUFD_PT, with: &request)
        } catch {
            throw VFIOError(.kernel, operation, "PASID \(pasid) of \(address)", errno: error)
        }
    }

    private func attach(_ id: UInt32, _ attachment: DeviceAttachment, _ operation: String) throws(VFIOError) {
        var request = cvfio_device_attach_iommufd_pt()
        request.argsz = UInt32(MemoryLayout<cvfio_device_attach_iommufd_pt>.offset(of: \.pasid)!)
        request.pt_id = id
        do throws(Errno) {
            try core.changeAttachment(to: attachment) { () throws(Errno) in
                _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, with: &request)
            }
        } catch {
            throw VFIOError(
                .kernel, operation, "\(address)", errno: error,
                hint: error == .addressInUse ? "addresses that are mapped there are reserved for this device" : nil)
        }
    }

    // MARK: -

    /// The iommufd that the device is bound to, and its number in it.
    private func iommufd(for operation: String) throws(VFIOError) -> (IOMMUFDContext, UInt32) {
        let context = try space.requireIOMMUFD(for: operation)
        guard let id = core.iommufdNumber else {
            throw VFIOError(.unsupported, operation, "\(address)", hint: "the device is not bound to an iommufd")
        }
        return (context, id)
    }

    private func number(
        of space: AddressSpace, in context: IOMMUFDContext, _ operation: String
    ) throws(VFIOError) -> UInt32 {
        guard let other = space.backend as? IOMMUFDContext, other.file === context.file else {
            throw stranger(operation)
        }
        return other.ioas
    }

    private func stranger(_ operation: String) -> VFIOError {
        VFIOError(
            .invalidArgument, operation, "\(address)",
            hint: "it is not of the iommufd that the device is bound to; see AddressSpace.makeSibling()")
    }

    private static func refusal(_ errno: Errno, _ operation: String, _ subject: String, _ hint: String) -> VFIOError {
        let isLacking = errno == .notSupported || errno == .inappropriateIOCTLForDevice
        return VFIOError(
            isLacking ? .unsupported : .kernel, operation, subject, errno: errno, hint: isLacking ? hint : nil)
    }
}

extension DeviceCore {
    /// Attaches or detaches the device, and notes it: one at a time, since the kernel and the note are to agree.
    fileprivate func changeAttachment(
        to new: DeviceAttachment?, _ body: () throws(Errno) -> Void
    ) throws(Errno) {
        let old = try attachment.withLock { (current) throws(Errno) in
            try body()
            defer { current = new }
            return current
        }
        // What the device has left may end now, so that happens outside of the lock.
        _ = old
    }
}
