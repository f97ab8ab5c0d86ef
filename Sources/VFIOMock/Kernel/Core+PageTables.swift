internal import CVFIO
import SystemPackage
import VFIO

/// Page tables as objects of an iommufd.
extension Core {
    func allocateTable(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_hwpt_alloc(), minimum: 24)
        if command.__reserved != 0 { throw .notSupported }
        if (command.data_type == CIOMMU_HWPT_DATA_NONE) != (command.data_len == 0) { throw .invalidArgument }
        let isUnprotected = try !iommufd.device(command.dev_id).function.hasIOMMU
        let table: IOMMUFDTable
        switch iommufd.objects[command.pt_id] {
        case .ioas(let ioas)?: table = try makeTable(iommufd, ioas, command, isUnprotected: isUnprotected)
        case .table(let parent)? where parent.parent == nil: table = try makeNested(iommufd, parent, command)
        case .guestIOMMU(let guest)?: table = try makeNested(iommufd, guest, command)
        default: throw .invalidArgument
        }
        table.isForPASIDs = command.flags & CIOMMU_HWPT_ALLOC_PASID != 0
        if command.flags & CIOMMU_HWPT_FAULT_ID_VALID != 0 {
            guard case .faultQueue(let queue)? = iommufd.objects[command.fault_id] else {
                try iommufd.destroy(table.id, self)
                throw .noSuchFileOrDirectory
            }
            table.faultQueue = queue
        }
        command.out_hwpt_id = table.id
        try argument.storeSized(command)
    }

    /// One with an address space's mappings.
    private func makeTable(
        _ iommufd: IOMMUFD, _ ioas: IOAS, _ command: ciommu_hwpt_alloc, isUnprotected: Bool
    ) throws(Errno) -> IOMMUFDTable {
        let flags = command.flags
        var known = CIOMMU_HWPT_FAULT_ID_VALID | CIOMMU_HWPT_ALLOC_PASID
        if iommu.nests { known |= CIOMMU_HWPT_ALLOC_NEST_PARENT }
        if iommu.tracksDirtyPages { known |= CIOMMU_HWPT_ALLOC_DIRTY_TRACKING }
        if flags & ~known != 0 || command.data_len != 0 { throw .notSupported }
        if isUnprotected && flags & ~CIOMMU_HWPT_FAULT_ID_VALID != 0 { throw .notSupported }
        let isParent = flags & CIOMMU_HWPT_ALLOC_NEST_PARENT != 0
        if isParent && flags & CIOMMU_HWPT_FAULT_ID_VALID != 0 { throw .notSupported }
        let table = try iommufd.makeTable(ioas, isAutomatic: false, isUnprotected: isUnprotected, self)
        table.isNestParent = isParent
        table.canTrack = flags & CIOMMU_HWPT_ALLOC_DIRTY_TRACKING != 0
        return table
    }

    private static let nestedFlags = CIOMMU_HWPT_FAULT_ID_VALID | CIOMMU_HWPT_ALLOC_PASID

    /// A guest's over a page table, as Intel's IOMMU takes them.
    private func makeNested(
        _ iommufd: IOMMUFD, _ parent: IOMMUFDTable, _ command: ciommu_hwpt_alloc
    ) throws(Errno) -> IOMMUFDTable {
        if command.flags & ~Self.nestedFlags != 0 || command.data_len == 0 || iommu.make != .intelVTD {
            throw .notSupported
        }
        if !parent.isNestParent { throw .invalidArgument }
        if command.data_type != CIOMMU_HWPT_DATA_VTD_S1 { throw .notSupported }
        if command.data_len != UInt32(MemoryLayout<ciommu_hwpt_vtd_s1>.size) { throw .invalidArgument }
        _ = try load(ciommu_hwpt_vtd_s1.self, from: command.data_uptr)
        let table = IOMMUFDTable(id: iommufd.nextID, ioas: parent.ioas, isAutomatic: false, parent: parent)
        iommufd.add(.table(table), table.id)
        return table
    }

    /// A guest's in a virtual IOMMU, as Arm's takes them.
    private func makeNested(
        _ iommufd: IOMMUFD, _ guest: GuestIOMMU, _ command: ciommu_hwpt_alloc
    ) throws(Errno) -> IOMMUFDTable {
        if command.flags & ~CIOMMU_HWPT_FAULT_ID_VALID != 0 || command.data_len == 0 { throw .notSupported }
        if command.data_type != CIOMMU_HWPT_DATA_ARM_SMMUV3
            || command.data_len != UInt32(MemoryLayout<ciommu_hwpt_arm_smmuv3>.size)
        {
            throw .invalidArgument
        }
        let entry = try load(ciommu_hwpt_arm_smmuv3.self, from: command.data_uptr).ste.0
        // One that is valid aborts, bypasses or translates by the first stage.
        if entry & 1 != 0 && ![0b000, 0b100, 0b101].contains(entry >> 1 & 0b111) { throw .ioError }
        let table = IOMMUFDTable(
            id: iommufd.nextID, ioas: guest.parent.ioas, isAutomatic: false, parent: guest.parent, guest: guest)
        iommufd.add(.table(table), table.id)
        return table
    }

    /// A structure that another points to.
    func load<Structure: BitwiseCopyable>(
        _ type: Structure.Type, from address: UInt64, at index: Int = 0
    ) throws(Errno) -> Structure {
        guard let source = unsafe UnsafeRawPointer(bitPattern: UInt(address)) else { throw .badAddress }
        return unsafe source.loadUnaligned(fromByteOffset: index * MemoryLayout<Structure>.size, as: type)
    }

    // MARK: Written pages

    func setDirtyTracking(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hwpt_set_dirty_tracking(), minimum: 16)
        if command.flags & ~CIOMMU_HWPT_DIRTY_TRACKING_ENABLE != 0 { throw .notSupported }
        let table = try iommufd.table(command.hwpt_id)
        if !table.canTrack { throw .notSupported }
        table.setTracking(command.flags & CIOMMU_HWPT_DIRTY_TRACKING_ENABLE != 0)
    }

    func dirtyBitmap(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
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
        if !table.canTrack { throw .notSupported }
        guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(command.data)) else { throw .badAddress }
        let clears = command.flags & CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR == 0
        for page in table.writtenPages(command.iova, last, clears: clears) where page >= command.iova {
            let bit = (page - command.iova) / command.page_size
            unsafe words[Int(bit / 64)] |= 1 << (bit % 64)
        }
    }

    // MARK: Page faults

    /// A device asks for a page.
    ///
    /// - Returns: The number of its wish; `nil` when nobody hears of it.
    func requestPage(_ iova: UInt64, _ access: UInt32, pasid: UInt32?, by function: PCIFunction) -> Int? {
        guard iommu.takesPageRequests, let device = function.boundDevice,
            let queue = (pasid.map { device.pasidTables[$0] } ?? device.table)?.faultQueue
        else { return nil }
        pageRequestCount += 1
        var fault = ciommu_hwpt_pgfault()
        fault.flags = CIOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid == nil ? 0 : CIOMMU_PGFAULT_FLAGS_PASID_VALID)
        fault.dev_id = device.id
        fault.pasid = pasid ?? 0
        fault.grpid = UInt32(pageRequestCount % 512)
        fault.perm = access
        fault.addr = iova
        queue.add(.init(number: pageRequestCount, fault: fault, device: ObjectIdentifier(device), pasid: pasid))
        return pageRequestCount
    }

    func answerPages(of device: IOMMUFDDevice, _ pasid: UInt32?, at table: IOMMUFDTable) {
        table.faultQueue?.refuse(device, pasid, self)
    }
}
