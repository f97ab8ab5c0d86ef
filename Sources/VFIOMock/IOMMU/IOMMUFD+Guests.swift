internal import CVFIO
import SystemPackage
import VFIO
import VFIOPassthrough

extension IOMMUFD {
    func makeGuestIOMMU(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_viommu_alloc(), minimum: 24) { (command) throws(Errno) in
            if command.flags != 0 || command.type == CIOMMU_VIOMMU_TYPE_DEFAULT { throw .notSupported }
            _ = try object(command.dev_id, IOMMUFDDevice.self)
            if iommu.configuration.make != .armSMMUv3 || !iommu.configuration.nests
                || command.type != CIOMMU_VIOMMU_TYPE_ARM_SMMUV3
            {
                throw .notSupported
            }
            let parent = try table(command.hwpt_id)
            if !parent.isNestParent { throw .invalidArgument }
            let guest = GuestIOMMU(over: parent)
            objects.add(guest)
            command.out_viommu_id = guest.id
        }
    }

    func makeGuestDevice(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_vdevice_alloc(), minimum: 24) { (command) throws(Errno) in
            let guest = try object(command.viommu_id, GuestIOMMU.self)
            let device = try object(command.dev_id, IOMMUFDDevice.self)
            if device.guestDevice != nil || guest.devices[command.virt_id] != nil { throw .fileExists }
            // A stream ID has 32 bits.
            if command.virt_id > UInt64(UInt32.max) { throw .invalidArgument }
            let virtual = GuestDevice(in: guest, device, number: command.virt_id)
            objects.add(virtual)
            command.out_vdevice_id = virtual.id
        }
    }

    func makeHardwareQueue(_ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hw_queue_alloc(), minimum: 40)
        if command.flags != 0 || command.type == CIOMMU_HW_QUEUE_TYPE_DEFAULT { throw .notSupported }
        _ = try command.nesting_parent_iova.last(of: command.length)
        _ = try object(command.viommu_id, GuestIOMMU.self)
        // Neither type of IOMMU has any.
        throw .notSupported
    }

    func makeEventQueue(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_veventq_alloc(), minimum: 28) { (command) throws(Errno) in
            if command.flags != 0 || command.__reserved != 0 || command.type == CIOMMU_VEVENTQ_TYPE_DEFAULT {
                throw .notSupported
            }
            if command.veventq_depth == 0 || command.veventq_depth > 1 << 19 { throw .invalidArgument }
            let guest = try object(command.viommu_id, GuestIOMMU.self)
            if guest.queues[command.type] != nil { throw .fileExists }
            guard let file else { throw .badFileDescriptor }
            let queue = EventQueueFile(
                type: command.type, depth: Int(command.veventq_depth), of: guest, iommufd: file)
            objects.add(queue)
            do throws(Errno) {
                command.out_veventq_fd = UInt32(bitPattern: try iommu.core.open(queue).rawValue)
            } catch {
                objects.remove(queue)
                throw error
            }
            command.out_veventq_id = queue.id
        }
    }

    // MARK: Invalidation

    func invalidate(_ argument: Argument) throws(Errno) {
        var failure: Errno?
        try argument.update(ciommu_hwpt_invalidate(), minimum: 32) { (command) throws(Errno) in
            let entries = command
            command.entry_num = 0
            // The number of completed entries is stored on failure too.
            do throws(Errno) { try invalidate(entries, &command.entry_num) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func invalidate(_ entries: ciommu_hwpt_invalidate, _ done: inout UInt32) throws(Errno) {
        if entries.__reserved != 0 { throw .notSupported }
        if entries.entry_num > 0
            && (entries.data_uptr == 0 || entries.entry_len == 0 || entries.entry_len > 4096
                || entries.entry_num > 1 << 19)
        {
            throw .invalidArgument
        }
        switch objects[entries.hwpt_id] {
        case let table as IOMMUFDTable where table.parent != nil:
            // A page table in a virtual IOMMU is invalidated through that.
            if table.guest != nil { throw .notSupported }
            try invalidateTable(entries, &done)
        case let guest as GuestIOMMU: try invalidate(entries, in: guest, &done)
        case let object?: throw type(of: object) == IOMMUFDObject.self ? .noSuchFileOrDirectory : .invalidArgument
        case nil: throw .noSuchFileOrDirectory
        }
    }

    /// Intel VT-d, entry by entry.
    private func invalidateTable(_ entries: ciommu_hwpt_invalidate, _ done: inout UInt32) throws(Errno) {
        let size = MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size
        if entries.data_type != CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1 { throw .invalidArgument }
        if entries.entry_num > 0, Int(entries.entry_len) != size { throw .invalidArgument }
        while done < entries.entry_num {
            let entry = try UserMemory.load(
                ciommu_hwpt_vtd_s1_invalidate(), at: entries.data_uptr &+ UInt64(done) * UInt64(size))
            if entry.flags & ~CIOMMU_VTD_INV_FLAGS_LEAF != 0 || entry.__reserved != 0 { throw .notSupported }
            if entry.addr % 4096 != 0 || (entry.npages == .max && entry.addr != 0) { throw .invalidArgument }
            iommu.invalidations.append(
                .intelVTD([
                    VTDInvalidation(
                        from: IOVA(entry.addr), pageCount: entry.npages,
                        isLeafOnly: entry.flags & CIOMMU_VTD_INV_FLAGS_LEAF != 0)
                ]))
            done += 1
        }
    }

    /// Arm SMMUv3, command by command.
    private func invalidate(
        _ entries: ciommu_hwpt_invalidate, in guest: GuestIOMMU, _ done: inout UInt32
    ) throws(Errno) {
        let size = MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size
        if entries.data_type != CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 || entries.entry_num == 0
            || Int(entries.entry_len) != size
        {
            throw .invalidArgument
        }
        while done < entries.entry_num {
            let words = try UserMemory.load(
                ciommu_viommu_arm_smmuv3_invalidate(), at: entries.data_uptr &+ UInt64(done) * UInt64(size)
            ).cmd
            switch words.0 & 0xff {
            // TLBI_NH_ALL, _ASID, _VA, _VAA, and TLBI_NSNH_ALL.
            case 0x10, 0x11, 0x12, 0x13, 0x30: break
            // CFGI_CD, CFGI_CD_ALL and ATC_INV name a stream, which must be one of the guest's.
            case 0x05, 0x06, 0x40: if guest.devices[words.0 >> 32] == nil { throw .ioError }
            default: throw .ioError
            }
            iommu.invalidations.append(.armSMMUv3([SMMUCommand(words.0, words.1)]))
            done += 1
        }
    }
}
