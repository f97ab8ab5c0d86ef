internal import CVFIO
import SystemPackage
import VFIO

final class IOMMUFD: FileOperations {
    unowned let iommu: SystemIOMMU
    /// The open file, which its queues hold.
    private(set) weak var file: OpenFile?
    var objects = IOMMUFDObjects()
    var devices: [Int: [IOMMUFDDevice]] = [:]
    /// `IOMMU_OPTION_RLIMIT_MODE`: whether locked memory counts by process.
    private var countsByProcess = false
    /// The address space that a container's requests act on (`IOMMU_VFIO_IOAS`).
    var containerSpace: IOAS?
    /// Whether a group without an IOMMU uses it as its container, which excludes groups with one.
    var isNoIOMMUContainer = false

    init(_ iommu: SystemIOMMU) { self.iommu = iommu }

    var kind: MockOpenFile.Kind { .iommufd }

    func opened(as file: OpenFile) { self.file = file }

    /// The last descriptor is closed, and no device is bound.
    func release() { objects.removeAll() }

    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        throw .noSuchAddressOrDevice
    }

    // MARK: Objects

    func object<Object: IOMMUFDObject>(_ id: UInt32, _ type: Object.Type) throws(Errno) -> Object {
        guard let object = objects[id] as? Object else { throw .noSuchFileOrDirectory }
        return object
    }

    func ioas(_ id: UInt32) throws(Errno) -> IOAS { try object(id, IOAS.self) }

    /// Returns a page table that is not nested.
    func table(_ id: UInt32) throws(Errno) -> IOMMUFDTable {
        let table = try object(id, IOMMUFDTable.self)
        if table.parent != nil { throw .noSuchFileOrDirectory }
        return table
    }

    func makeIOAS() -> IOAS {
        let ioas = IOAS(iommu)
        objects.add(ioas)
        return ioas
    }

    private func destroy(_ id: UInt32) throws(Errno) {
        guard let object = objects[id], type(of: object) != IOMMUFDObject.self else { throw .noSuchFileOrDirectory }
        if object.users > 0 { throw .resourceBusy }
        if containerSpace === object { containerSpace = nil }
        objects.remove(object)
    }

    // MARK: Requests

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GET_API_VERSION, CVFIO_CHECK_EXTENSION, CVFIO_SET_IOMMU, CVFIO_IOMMU_GET_INFO, CVFIO_IOMMU_MAP_DMA,
            CVFIO_IOMMU_UNMAP_DMA:
            return try containerControl(request, argument)
        case CIOMMU_DESTROY: try destroy(try argument.loadSized(ciommu_destroy(), minimum: 8).id)
        case CIOMMU_IOAS_ALLOC:
            try argument.update(ciommu_ioas_alloc(), minimum: 12) { (command) throws(Errno) in
                if command.flags != 0 { throw .notSupported }
                command.out_ioas_id = makeIOAS().id
            }
        case CIOMMU_IOAS_ALLOW_IOVAS: try allowRanges(argument)
        case CIOMMU_IOAS_COPY: try copyMapping(argument)
        case CIOMMU_IOAS_IOVA_RANGES: try usableRanges(argument)
        case CIOMMU_IOAS_MAP: try mapMemory(argument)
        case CIOMMU_IOAS_MAP_FILE where iommu.release.hasMapFile: try mapFile(argument)
        case CIOMMU_IOAS_UNMAP: try unmap(argument)
        case CIOMMU_IOAS_NOIOMMU_GET_PA where !iommu.release.follows6_1: try physicalAddress(argument)
        case CIOMMU_IOAS_CHANGE_PROCESS: try changeProcess(argument)
        case CIOMMU_OPTION: try option(argument)
        case CIOMMU_VFIO_IOAS: try chooseContainerSpace(argument)
        case CIOMMU_GET_HW_INFO: try hardwareInfo(argument)
        case CIOMMU_HWPT_ALLOC: try makeTable(argument)
        case CIOMMU_HWPT_SET_DIRTY_TRACKING: try setDirtyTracking(argument)
        case CIOMMU_HWPT_GET_DIRTY_BITMAP: try dirtyBitmap(argument)
        case CIOMMU_HWPT_INVALIDATE: try invalidate(argument)
        case CIOMMU_FAULT_QUEUE_ALLOC: try makeFaultQueue(argument)
        case CIOMMU_VIOMMU_ALLOC: try makeGuestIOMMU(argument)
        case CIOMMU_VDEVICE_ALLOC: try makeGuestDevice(argument)
        case CIOMMU_VEVENTQ_ALLOC: try makeEventQueue(argument)
        case CIOMMU_HW_QUEUE_ALLOC: try makeHardwareQueue(argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func option(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_option(), minimum: 24) { (command) throws(Errno) in
            if command.__reserved != 0 { throw .notSupported }
            let isGet = command.op == CIOMMU_OPTION_OP_GET
            if !isGet && command.op != CIOMMU_OPTION_OP_SET { throw .notSupported }
            switch command.option_id {
            case CIOMMU_OPTION_RLIMIT_MODE:
                if command.object_id != 0 { throw .notSupported }
                if isGet {
                    command.val64 = countsByProcess ? 1 : 0
                } else {
                    if !objects.isEmpty { throw .resourceBusy }
                    if command.val64 > 1 { throw .invalidArgument }
                    countsByProcess = command.val64 == 1
                }
            case CIOMMU_OPTION_HUGE_PAGES:
                let ioas = try ioas(command.object_id)
                if isGet {
                    command.val64 = ioas.combinesPages ? 1 : 0
                } else {
                    if command.val64 > 1 { throw .invalidArgument }
                    try ioas.setCombinesPages(command.val64 == 1)
                }
            default: throw .notSupported
            }
        }
    }

    private func changeProcess(_ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_ioas_change_process(), minimum: 8)
        if command.__reserved != 0 { throw .notSupported }
        for case let ioas as IOAS in objects.all {
            for area in ioas.list.areas {
                guard case .file = area.source.kind else { throw .invalidArgument }
            }
        }
    }

    private func chooseContainerSpace(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_vfio_ioas(), minimum: 12) { (command) throws(Errno) in
            if command.__reserved != 0 { throw .notSupported }
            switch command.op {
            case CIOMMU_VFIO_IOAS_GET:
                guard let space = containerSpace else { throw .operationNotSupportedByDevice }
                command.ioas_id = space.id
            case CIOMMU_VFIO_IOAS_SET: containerSpace = try ioas(command.ioas_id)
            case CIOMMU_VFIO_IOAS_CLEAR: containerSpace = nil
            default: throw .notSupported
            }
        }
    }

    private func hardwareInfo(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_hw_info(), minimum: 32) { (command) throws(Errno) in
            if command.flags & ~CIOMMU_HW_INFO_FLAG_INPUT_TYPE != 0 { throw .notSupported }
            let reserved = command.__reserved
            if reserved.0 != 0 || reserved.1 != 0 || reserved.2 != 0 { throw .notSupported }
            let wanted =
                command.flags & CIOMMU_HW_INFO_FLAG_INPUT_TYPE != 0
                ? command.in_data_type : CIOMMU_HW_INFO_TYPE_DEFAULT
            guard try object(command.dev_id, IOMMUFDDevice.self).function.hasIOMMU else { throw .notSupported }
            let (type, info) = iommu.configuration.hardwareData
            if wanted != CIOMMU_HW_INFO_TYPE_DEFAULT && wanted != type { throw .notSupported }
            if command.data_len > 0 {
                let room = UInt64(command.data_len)
                try UserMemory.store(command.data_uptr, bytes: Array(info.prefix(Int(room))))
                // The rest of the buffer is cleared, in pieces: the length is the caller's.
                var done = UInt64(info.count)
                while done < room {
                    let count = min(room - done, 4096)
                    try UserMemory.store(command.data_uptr &+ done, bytes: [UInt8](repeating: 0, count: Int(count)))
                    done += count
                }
            }
            command.data_len = UInt32(info.count)
            command.out_data_type = type
            command.out_max_pasid_log2 = UInt8(clamping: iommu.configuration.pasidBits)
            command.out_capabilities =
                iommu.configuration.takesPageRequests ? 0 : CIOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
            if iommu.configuration.tracksDirtyPages { command.out_capabilities |= CIOMMU_HW_CAP_DIRTY_TRACKING }
        }
    }
}

extension MockIOMMU {
    /// The answer to `IOMMU_GET_HW_INFO`.
    fileprivate var hardwareData: (type: UInt32, bytes: [UInt8]) {
        switch make {
        case .intelVTD:
            var info = ciommu_hw_info_vtd()
            info.cap_reg = capabilityRegister
            info.ecap_reg = extendedCapabilityRegister
            return (CIOMMU_HW_INFO_TYPE_INTEL_VTD, unsafe withUnsafeBytes(of: info) { unsafe [UInt8]($0) })
        case .armSMMUv3:
            var info = ciommu_hw_info_arm_smmuv3()
            // Both stages of translation.
            info.idr.0 = nests ? 0b11 : 0b01
            return (CIOMMU_HW_INFO_TYPE_ARM_SMMUV3, unsafe withUnsafeBytes(of: info) { unsafe [UInt8]($0) })
        }
    }
}
