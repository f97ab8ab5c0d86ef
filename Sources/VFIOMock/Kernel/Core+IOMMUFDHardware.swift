internal import CVFIO
import SystemPackage
import VFIO

/// What the IOMMU's hardware is asked for through an iommufd. It is Intel's, of the kind without scalable mode: it has no
/// dirty bits, no PASIDs, no page requests and no second stage.
extension Core {
    func hardwareControl(_ iommufd: IOMMUFD, _ request: UInt, _ argument: Argument) throws(Errno) {
        switch request {
        case CIOMMU_GET_HW_INFO: try hardwareInfo(iommufd, argument)
        case CIOMMU_HWPT_SET_DIRTY_TRACKING: try setDirtyTracking(iommufd, argument)
        case CIOMMU_HWPT_GET_DIRTY_BITMAP: try dirtyBitmap(iommufd, argument)
        case CIOMMU_HWPT_INVALIDATE: try invalidate(iommufd, argument)
        case CIOMMU_FAULT_QUEUE_ALLOC: try makeFaultQueue(iommufd, argument)
        case CIOMMU_IOAS_CHANGE_PROCESS: try changeProcess(iommufd, argument)
        case CIOMMU_IOAS_NOIOMMU_GET_PA where !isOld: try physicalAddress(iommufd, argument)
        case CIOMMU_VFIO_IOAS: try containerSpace(iommufd, argument)
        case CIOMMU_VIOMMU_ALLOC:
            let command = try argument.loadSized(ciommu_viommu_alloc(), minimum: 24)
            if command.flags != 0 || command.type == CIOMMU_VIOMMU_TYPE_DEFAULT { throw .notSupported }
            _ = try iommufd.device(command.dev_id)
            throw .notSupported
        case CIOMMU_VDEVICE_ALLOC:
            _ = try argument.loadSized(ciommu_vdevice_alloc(), minimum: 24)
            throw .noSuchFileOrDirectory
        case CIOMMU_VEVENTQ_ALLOC:
            let command = try argument.loadSized(ciommu_veventq_alloc(), minimum: 28)
            if command.flags != 0 || command.__reserved != 0 || command.type == CIOMMU_VEVENTQ_TYPE_DEFAULT {
                throw .notSupported
            }
            if command.veventq_depth == 0 { throw .invalidArgument }
            throw .noSuchFileOrDirectory
        case CIOMMU_HW_QUEUE_ALLOC:
            let command = try argument.loadSized(ciommu_hw_queue_alloc(), minimum: 40)
            if command.flags != 0 || command.type == CIOMMU_HW_QUEUE_TYPE_DEFAULT { throw .notSupported }
            if command.length == 0 { throw .invalidArgument }
            if command.nesting_parent_iova.addingReportingOverflow(command.length - 1).overflow { throw .overflow }
            throw .noSuchFileOrDirectory
        default: throw .inappropriateIOCTLForDevice
        }
    }

    /// The requests that are a container's, and no iommufd's own.
    static let containerRequests: Set<UInt> = [
        CVFIO_GET_API_VERSION, CVFIO_CHECK_EXTENSION, CVFIO_SET_IOMMU, CVFIO_IOMMU_GET_INFO, CVFIO_IOMMU_MAP_DMA,
        CVFIO_IOMMU_UNMAP_DMA,
    ]

    private func hardwareInfo(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_hw_info(), minimum: 32)
        if command.flags & ~CIOMMU_HW_INFO_FLAG_INPUT_TYPE != 0 { throw .notSupported }
        let reserved = command.__reserved
        if reserved.0 != 0 || reserved.1 != 0 || reserved.2 != 0 { throw .notSupported }
        let wanted =
            command.flags & CIOMMU_HW_INFO_FLAG_INPUT_TYPE != 0 ? command.in_data_type : CIOMMU_HW_INFO_TYPE_DEFAULT
        guard try iommufd.device(command.dev_id).function.hasIOMMU else { throw .notSupported }
        if wanted != CIOMMU_HW_INFO_TYPE_DEFAULT && wanted != CIOMMU_HW_INFO_TYPE_INTEL_VTD { throw .notSupported }
        var info = ciommu_hw_info_vtd()
        info.cap_reg = iommu.capabilityRegister
        info.ecap_reg = iommu.extendedCapabilityRegister
        if command.data_len > 0 {
            guard let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(command.data_uptr)) else {
                throw .badAddress
            }
            unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: Int(command.data_len))
            unsafe withUnsafeBytes(of: info) { source in
                unsafe target.copyMemory(
                    from: source.baseAddress!, byteCount: min(source.count, Int(command.data_len)))
            }
        }
        command.data_len = UInt32(MemoryLayout<ciommu_hw_info_vtd>.size)
        command.out_data_type = CIOMMU_HW_INFO_TYPE_INTEL_VTD
        command.out_max_pasid_log2 = 0
        command.out_capabilities = CIOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
        try argument.storeSized(command)
    }

    // MARK: Page tables

    private func setDirtyTracking(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hwpt_set_dirty_tracking(), minimum: 16)
        if command.flags & ~CIOMMU_HWPT_DIRTY_TRACKING_ENABLE != 0 { throw .notSupported }
        _ = try iommufd.table(command.hwpt_id)
        throw .notSupported
    }

    private func dirtyBitmap(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hwpt_get_dirty_bitmap(), minimum: 48)
        if command.flags & ~CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR != 0 || command.__reserved != 0 {
            throw .notSupported
        }
        let table = try iommufd.table(command.hwpt_id)
        if command.length == 0 { throw .invalidArgument }
        let (last, wraps) = command.iova.addingReportingOverflow(command.length - 1)
        if wraps { throw .overflow }
        if (command.iova | (last &+ 1)) & (table.ioas.alignment - 1) != 0 || command.page_size == 0
            || (command.iova | (last &+ 1)) & (command.page_size - 1) != 0
        {
            throw .invalidArgument
        }
        throw .notSupported
    }

    private func invalidate(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_hwpt_invalidate(), minimum: 32)
        let isReserved = command.__reserved != 0
        let isBad = command.entry_num > 0 && (command.data_uptr == 0 || command.entry_len == 0)
        command.entry_num = 0
        try argument.storeSized(command)
        if isReserved { throw .notSupported }
        if isBad { throw .invalidArgument }
        // There are no nested page tables and no virtual IOMMUs.
        throw iommufd.objects[command.hwpt_id] == nil ? .noSuchFileOrDirectory : .invalidArgument
    }

    // MARK: Faults

    private func makeFaultQueue(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_fault_alloc(), minimum: 16)
        if command.flags != 0 { throw .notSupported }
        guard
            let owner = files.values.first(where: {
                if case .iommufd(let other) = $0.object { other === iommufd } else { false }
            })
        else { throw .badFileDescriptor }
        let queue = FaultQueueFile(id: iommufd.nextID, iommufd: owner)
        let (_, descriptor) = try makeFile(.faultQueue(queue))
        // Its file keeps the iommufd open.
        hold(owner)
        iommufd.add(.faultQueue(queue), queue.id)
        command.out_fault_id = queue.id
        command.out_fault_fd = UInt32(bitPattern: descriptor.rawValue)
        try argument.storeSized(command)
    }

    func closeFaultQueue(_ queue: FaultQueueFile) {
        queue.isOpen = false
        unhold(queue.iommufd)
    }

    // MARK: Processes and containers

    private func changeProcess(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_ioas_change_process(), minimum: 8)
        if command.__reserved != 0 { throw .notSupported }
        for ioas in iommufd.spaces {
            for area in ioas.list.areas {
                guard case .file = area.source.kind else { throw .invalidArgument }
            }
        }
    }

    private func containerSpace(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_vfio_ioas(), minimum: 12)
        if command.__reserved != 0 { throw .notSupported }
        switch command.op {
        case CIOMMU_VFIO_IOAS_GET:
            guard let id = iommufd.containerSpace else { throw .operationNotSupportedByDevice }
            command.ioas_id = id
            try argument.storeSized(command)
        case CIOMMU_VFIO_IOAS_SET:
            iommufd.containerSpace = try iommufd.ioas(command.ioas_id).id
        case CIOMMU_VFIO_IOAS_CLEAR: iommufd.containerSpace = nil
        default: throw .notSupported
        }
    }
}
