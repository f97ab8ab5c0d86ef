internal import CVFIO
import SystemPackage
import VFIO
import VFIOPassthrough

/// What an iommufd has for the IOMMUs of virtual machines.
extension Core {
    func makeGuestIOMMU(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_viommu_alloc(), minimum: 24)
        if command.flags != 0 || command.type == CIOMMU_VIOMMU_TYPE_DEFAULT { throw .notSupported }
        _ = try iommufd.device(command.dev_id)
        if iommu.make != .armSMMUv3 || !iommu.nests || command.type != CIOMMU_VIOMMU_TYPE_ARM_SMMUV3 {
            throw .notSupported
        }
        let parent = try iommufd.table(command.hwpt_id)
        if !parent.isNestParent { throw .invalidArgument }
        let guest = GuestIOMMU(id: iommufd.nextID, over: parent)
        iommufd.add(.guestIOMMU(guest), guest.id)
        command.out_viommu_id = guest.id
        try argument.storeSized(command)
    }

    func makeGuestDevice(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_vdevice_alloc(), minimum: 24)
        let guest = try iommufd.guestIOMMU(command.viommu_id)
        let device = try iommufd.device(command.dev_id)
        let isTaken = iommufd.objects.values.contains {
            if case .guestDevice(let other) = $0 {
                other.guest === guest && other.number == command.virt_id
            } else {
                false
            }
        }
        if device.guestDevice != nil || isTaken { throw .fileExists }
        // A stream number has 32 bits.
        if command.virt_id > UInt64(UInt32.max) { throw .invalidArgument }
        let name = GuestDevice(id: iommufd.nextID, in: guest, device, number: command.virt_id)
        device.guestDevice = name
        iommufd.add(.guestDevice(name), name.id)
        command.out_vdevice_id = name.id
        try argument.storeSized(command)
    }

    func makeHardwareQueue(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_hw_queue_alloc(), minimum: 40)
        if command.flags != 0 || command.type == CIOMMU_HW_QUEUE_TYPE_DEFAULT { throw .notSupported }
        if command.length == 0 { throw .invalidArgument }
        if command.nesting_parent_iova.addingReportingOverflow(command.length - 1).overflow { throw .overflow }
        _ = try iommufd.guestIOMMU(command.viommu_id)
        // Neither make has any.
        throw .notSupported
    }

    // MARK: Events

    func makeEventQueue(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_veventq_alloc(), minimum: 28)
        if command.flags != 0 || command.__reserved != 0 || command.type == CIOMMU_VEVENTQ_TYPE_DEFAULT {
            throw .notSupported
        }
        if command.veventq_depth == 0 || command.veventq_depth > 1 << 19 { throw .invalidArgument }
        let guest = try iommufd.guestIOMMU(command.viommu_id)
        if eventQueue(of: guest, type: command.type, iommufd) != nil { throw .fileExists }
        let owner = try file(of: iommufd)
        let queue = EventQueueFile(
            id: iommufd.nextID, type: command.type, depth: Int(command.veventq_depth), of: guest, iommufd: owner)
        let descriptor = try makeQueueFile(queue, .eventQueue(queue))
        // Its file keeps the iommufd open.
        hold(owner)
        iommufd.add(.eventQueue(queue), queue.id)
        command.out_veventq_id = queue.id
        command.out_veventq_fd = UInt32(bitPattern: descriptor.rawValue)
        try argument.storeSized(command)
    }

    private func eventQueue(of guest: GuestIOMMU, type: UInt32, _ iommufd: IOMMUFD) -> EventQueueFile? {
        for case .eventQueue(let queue) in iommufd.objects.values where queue.guest === guest && queue.type == type {
            return queue
        }
        return nil
    }

    func closeEventQueue(_ queue: EventQueueFile) {
        queue.readiness.close()
        unhold(queue.iommufd)
    }

    /// The SMMU has an event about a device, which goes to the guest that has the device.
    ///
    /// - Returns: Whether there is a queue for it.
    func reportEvent(_ record: [UInt64], about function: PCIFunction) -> Bool {
        guard let table = function.boundDevice?.table, let guest = table.guest,
            let number = function.boundDevice?.guestDevice?.number
        else { return false }
        for file in files.values {
            guard case .iommufd(let iommufd) = file.object,
                let queue = eventQueue(of: guest, type: CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3, iommufd)
            else { continue }
            // The upper half of the first word is the stream number, which is the guest's for the guest.
            var words = record
            words[0] = words[0] & 0xffff_ffff | number << 32
            queue.report(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } })
            return true
        }
        return false
    }

    // MARK: Invalidation

    func invalidate(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_hwpt_invalidate(), minimum: 32)
        let (entries, reserved) = (command, command.__reserved)
        command.entry_num = 0
        defer { try? argument.storeSized(command) }
        if reserved != 0 { throw .notSupported }
        if entries.entry_num > 0
            && (entries.data_uptr == 0 || entries.entry_len == 0 || entries.entry_len > 4096
                || entries.entry_num > 1 << 19)
        {
            throw .invalidArgument
        }
        switch iommufd.objects[entries.hwpt_id] {
        case nil, .tombstone: throw .noSuchFileOrDirectory
        case .table(let table) where table.parent != nil:
            // What is in a virtual IOMMU is invalidated by that.
            if table.guest != nil { throw .notSupported }
            try invalidate(entries, &command.entry_num)
        case .guestIOMMU(let guest): try invalidate(entries, in: guest, iommufd, &command.entry_num)
        default: throw .invalidArgument
        }
    }

    /// As Intel's IOMMU does, entry by entry.
    private func invalidate(_ entries: ciommu_hwpt_invalidate, _ done: inout UInt32) throws(Errno) {
        if entries.data_type != CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1 { throw .invalidArgument }
        if entries.entry_num > 0, entries.entry_len != UInt32(MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size) {
            throw .invalidArgument
        }
        while done < entries.entry_num {
            let entry = try load(ciommu_hwpt_vtd_s1_invalidate.self, from: entries.data_uptr, at: Int(done))
            if entry.flags & ~CIOMMU_VTD_INV_FLAGS_LEAF != 0 || entry.__reserved != 0 { throw .notSupported }
            if entry.addr % 4096 != 0 || (entry.npages == .max && entry.addr != 0) { throw .invalidArgument }
            invalidations.append(
                .intelVTD([
                    VTDInvalidation(
                        from: IOVA(entry.addr), pageCount: entry.npages,
                        isLeafOnly: entry.flags & CIOMMU_VTD_INV_FLAGS_LEAF != 0)
                ]))
            done += 1
        }
    }

    /// As Arm's does, command by command.
    private func invalidate(
        _ entries: ciommu_hwpt_invalidate, in guest: GuestIOMMU, _ iommufd: IOMMUFD, _ done: inout UInt32
    ) throws(Errno) {
        if entries.data_type != CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 || entries.entry_num == 0
            || entries.entry_len != UInt32(MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size)
        {
            throw .invalidArgument
        }
        while done < entries.entry_num {
            let words = try load(ciommu_viommu_arm_smmuv3_invalidate.self, from: entries.data_uptr, at: Int(done)).cmd
            switch words.0 & 0xff {
            // TLBI_NH_ALL, _ASID, _VA, _VAA, and TLBI_NSNH_ALL.
            case 0x10, 0x11, 0x12, 0x13, 0x30: break
            // CFGI_CD, CFGI_CD_ALL and ATC_INV are about a stream, which has to be one of the guest's.
            case 0x05, 0x06, 0x40:
                let isKnown = iommufd.objects.values.contains {
                    if case .guestDevice(let name) = $0 {
                        name.guest === guest && name.number == words.0 >> 32
                    } else {
                        false
                    }
                }
                if !isKnown { throw .ioError }
            default: throw .ioError
            }
            invalidations.append(.armSMMUv3([SMMUCommand(words.0, words.1)]))
            done += 1
        }
    }
}
