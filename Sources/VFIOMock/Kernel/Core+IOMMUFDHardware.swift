internal import CVFIO
import SystemPackage
import VFIO

/// What the IOMMU's hardware is asked for through an iommufd.
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
        case CIOMMU_VIOMMU_ALLOC: try makeGuestIOMMU(iommufd, argument)
        case CIOMMU_VDEVICE_ALLOC: try makeGuestDevice(iommufd, argument)
        case CIOMMU_VEVENTQ_ALLOC: try makeEventQueue(iommufd, argument)
        case CIOMMU_HW_QUEUE_ALLOC: try makeHardwareQueue(iommufd, argument)
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
        let (type, info) = hardwareData
        if wanted != CIOMMU_HW_INFO_TYPE_DEFAULT && wanted != type { throw .notSupported }
        if command.data_len > 0 {
            guard let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(command.data_uptr)) else {
                throw .badAddress
            }
            unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: Int(command.data_len))
            for (offset, byte) in info.prefix(Int(command.data_len)).enumerated() {
                unsafe target.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
            }
        }
        command.data_len = UInt32(info.count)
        command.out_data_type = type
        command.out_max_pasid_log2 = UInt8(clamping: iommu.pasidBits)
        command.out_capabilities = iommu.takesPageRequests ? 0 : CIOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
        if iommu.tracksDirtyPages { command.out_capabilities |= CIOMMU_HW_CAP_DIRTY_TRACKING }
        try argument.storeSized(command)
    }

    private var hardwareData: (type: UInt32, bytes: [UInt8]) {
        switch iommu.make {
        case .intelVTD:
            var info = ciommu_hw_info_vtd()
            info.cap_reg = iommu.capabilityRegister
            info.ecap_reg = iommu.extendedCapabilityRegister
            return (CIOMMU_HW_INFO_TYPE_INTEL_VTD, unsafe withUnsafeBytes(of: info) { unsafe [UInt8]($0) })
        case .armSMMUv3:
            var info = ciommu_hw_info_arm_smmuv3()
            // Both stages of translation.
            info.idr.0 = iommu.nests ? 0b11 : 0b01
            return (CIOMMU_HW_INFO_TYPE_ARM_SMMUV3, unsafe withUnsafeBytes(of: info) { unsafe [UInt8]($0) })
        }
    }

    // MARK: Faults

    private func makeFaultQueue(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_fault_alloc(), minimum: 16)
        if command.flags != 0 { throw .notSupported }
        let owner = try file(of: iommufd)
        let queue = FaultQueueFile(id: iommufd.nextID, iommufd: owner)
        let descriptor = try makeQueueFile(queue, .faultQueue(queue))
        // Its file keeps the iommufd open.
        hold(owner)
        iommufd.add(.faultQueue(queue), queue.id)
        command.out_fault_id = queue.id
        command.out_fault_fd = UInt32(bitPattern: descriptor.rawValue)
        try argument.storeSized(command)
    }

    /// The open file of an iommufd.
    func file(of iommufd: IOMMUFD) throws(Errno) -> OpenFile {
        let file = files.values.first { if case .iommufd(let other) = $0.object { other === iommufd } else { false } }
        guard let file else { throw .badFileDescriptor }
        return file
    }

    func closeFaultQueue(_ queue: FaultQueueFile) {
        queue.readiness.close()
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
