internal import CVFIO
import SystemPackage
import VFIO

extension IOMMUFD {
    func makeTable(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_hwpt_alloc(), minimum: 24) { (command) throws(Errno) in
            if command.__reserved != 0 { throw .notSupported }
            if (command.data_type == CIOMMU_HWPT_DATA_NONE) != (command.data_len == 0) { throw .invalidArgument }
            let isNoIOMMU = try !object(command.dev_id, IOMMUFDDevice.self).function.hasIOMMU
            let table: IOMMUFDTable
            switch objects[command.pt_id] {
            case let ioas as IOAS: table = try makeTable(over: ioas, command, isNoIOMMU: isNoIOMMU)
            case let parent as IOMMUFDTable where parent.parent == nil:
                table = try makeNestedTable(over: parent, command)
            case let guest as GuestIOMMU: table = try makeNestedTable(in: guest, command)
            default: throw .invalidArgument
            }
            table.isForPASIDs = command.flags & CIOMMU_HWPT_ALLOC_PASID != 0
            if command.flags & CIOMMU_HWPT_FAULT_ID_VALID != 0 {
                guard let queue = objects[command.fault_id] as? FaultQueueFile else {
                    objects.remove(table)
                    throw .noSuchFileOrDirectory
                }
                table.faultQueue = queue
            }
            command.out_hwpt_id = table.id
        }
    }

    /// Makes a page table with an address space's mappings.
    func makeTable(_ ioas: IOAS, isAutomatic: Bool, isNoIOMMU: Bool) throws(Errno) -> IOMMUFDTable {
        let table = IOMMUFDTable(ioas, isAutomatic: isAutomatic, isNoIOMMU: isNoIOMMU)
        do throws(Errno) {
            try ioas.addTable(table)
        } catch {
            ioas.users -= 1
            throw error
        }
        objects.add(table)
        return table
    }

    private func makeTable(
        over ioas: IOAS, _ command: ciommu_hwpt_alloc, isNoIOMMU: Bool
    ) throws(Errno) -> IOMMUFDTable {
        let flags = command.flags
        var known = CIOMMU_HWPT_FAULT_ID_VALID | CIOMMU_HWPT_ALLOC_PASID
        if iommu.configuration.nests { known |= CIOMMU_HWPT_ALLOC_NEST_PARENT }
        if iommu.configuration.tracksDirtyPages { known |= CIOMMU_HWPT_ALLOC_DIRTY_TRACKING }
        if flags & ~known != 0 || command.data_len != 0 { throw .notSupported }
        if isNoIOMMU && flags & ~CIOMMU_HWPT_FAULT_ID_VALID != 0 { throw .notSupported }
        let isParent = flags & CIOMMU_HWPT_ALLOC_NEST_PARENT != 0
        if isParent && flags & CIOMMU_HWPT_FAULT_ID_VALID != 0 { throw .notSupported }
        let table = try makeTable(ioas, isAutomatic: false, isNoIOMMU: isNoIOMMU)
        table.isNestParent = isParent
        table.canTrack = flags & CIOMMU_HWPT_ALLOC_DIRTY_TRACKING != 0
        return table
    }

    /// Makes a nested (stage-1) page table over a page table, as for Intel VT-d.
    private func makeNestedTable(
        over parent: IOMMUFDTable, _ command: ciommu_hwpt_alloc
    ) throws(Errno) -> IOMMUFDTable {
        if command.flags & ~(CIOMMU_HWPT_FAULT_ID_VALID | CIOMMU_HWPT_ALLOC_PASID) != 0 || command.data_len == 0
            || iommu.configuration.make != .intelVTD
        {
            throw .notSupported
        }
        if !parent.isNestParent { throw .invalidArgument }
        if command.data_type != CIOMMU_HWPT_DATA_VTD_S1 { throw .notSupported }
        if command.data_len != UInt32(MemoryLayout<ciommu_hwpt_vtd_s1>.size) { throw .invalidArgument }
        _ = try UserMemory.load(ciommu_hwpt_vtd_s1(), at: command.data_uptr)
        let table = IOMMUFDTable(over: parent)
        objects.add(table)
        return table
    }

    /// Makes a nested (stage-1) page table in a virtual IOMMU, as for Arm SMMUv3.
    private func makeNestedTable(
        in guest: GuestIOMMU, _ command: ciommu_hwpt_alloc
    ) throws(Errno) -> IOMMUFDTable {
        if command.flags & ~CIOMMU_HWPT_FAULT_ID_VALID != 0 || command.data_len == 0 { throw .notSupported }
        if command.data_type != CIOMMU_HWPT_DATA_ARM_SMMUV3
            || command.data_len != UInt32(MemoryLayout<ciommu_hwpt_arm_smmuv3>.size)
        {
            throw .invalidArgument
        }
        let entry = try UserMemory.load(ciommu_hwpt_arm_smmuv3(), at: command.data_uptr).ste.0
        // A valid entry aborts, bypasses, or translates by stage 1.
        if entry & 1 != 0 && ![0b000, 0b100, 0b101].contains(entry >> 1 & 0b111) { throw .ioError }
        let table = IOMMUFDTable(over: guest.parent, guest: guest)
        objects.add(table)
        return table
    }

    // MARK: Dirty tracking

    func setDirtyTracking(_ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hwpt_set_dirty_tracking(), minimum: 16)
        if command.flags & ~CIOMMU_HWPT_DIRTY_TRACKING_ENABLE != 0 { throw .notSupported }
        let table = try table(command.hwpt_id)
        if !table.canTrack { throw .notSupported }
        table.setTracking(command.flags & CIOMMU_HWPT_DIRTY_TRACKING_ENABLE != 0)
    }

    func dirtyBitmap(_ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hwpt_get_dirty_bitmap(), minimum: 48)
        if command.flags & ~CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR != 0 || command.__reserved != 0 {
            throw .notSupported
        }
        let table = try table(command.hwpt_id)
        let last = try command.iova.last(of: command.length)
        if (command.iova | (last &+ 1)) & (table.ioas.alignment - 1) != 0 || command.page_size == 0
            || (command.iova | (last &+ 1)) & (command.page_size - 1) != 0
        {
            throw .invalidArgument
        }
        if !table.canTrack { throw .notSupported }
        if command.data == 0 { throw .badAddress }
        let pages = table.writtenPages(command.iova, last)
        let bits = pages.filter { $0 >= command.iova }.map { ($0 - command.iova) / command.page_size }
        try UserMemory.setBits(bits.map { $0...$0 }, at: command.data)
        if command.flags & CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR == 0 { table.forgetWrites(pages) }
    }

    // MARK: Page faults

    func makeFaultQueue(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_fault_alloc(), minimum: 16) { (command) throws(Errno) in
            if command.flags != 0 { throw .notSupported }
            guard let file else { throw .badFileDescriptor }
            let queue = FaultQueueFile(iommu, iommufd: file)
            let descriptor = try iommu.core.open(queue)
            objects.add(queue)
            command.out_fault_id = queue.id
            command.out_fault_fd = UInt32(bitPattern: descriptor.rawValue)
        }
    }
}
