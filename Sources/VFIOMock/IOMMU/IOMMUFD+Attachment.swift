import SystemPackage

extension IOMMUFD {
    /// Gives a device another page table, or its first: `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Returns: The number of the page table.
    func attach(_ device: IOMMUFDDevice, to id: UInt32, _ core: Core) throws(Errno) -> UInt32 {
        if device.function.mediated != nil { return try attachAccess(device, to: id) }
        switch objects[id] {
        case nil: throw .noSuchFileOrDirectory
        case .tombstone: throw .noSuchFileOrDirectory
        case .device, .faultQueue, .guestIOMMU, .guestDevice, .eventQueue: throw .invalidArgument
        case .table(let table):
            try check(table, for: device, core)
            if !device.pasidTables.isEmpty && !table.isForPASIDs { throw .invalidArgument }
            try replace(device, table, core)
            return table.id
        case .ioas(let ioas):
            // A page table that the kernel makes by itself is none for PASIDs.
            if !device.pasidTables.isEmpty { throw .invalidArgument }
            let isUnprotected = !device.function.hasIOMMU
            // A device without an IOMMU takes any table, since it uses none.
            if let table = tables(of: ioas).first(where: { $0.isAutomatic && (isUnprotected || !$0.isUnprotected) }) {
                try replace(device, table, core)
                return table.id
            }
            let table = try makeTable(ioas, isAutomatic: true, isUnprotected: isUnprotected, core)
            do throws(Errno) {
                try replace(device, table, core)
            } catch {
                ioas.removeTable(isUnprotected: isUnprotected)
                remove(table.id)
                throw error
            }
            return table.id
        }
    }

    /// Lets the driver of a mediated device reach an address space, which limits nothing.
    private func attachAccess(_ device: IOMMUFDDevice, to id: UInt32) throws(Errno) -> UInt32 {
        guard case .ioas(let ioas)? = objects[id] else { throw .noSuchFileOrDirectory }
        device.access?.accessCount -= 1
        device.access = ioas
        ioas.accessCount += 1
        return id
    }

    func makeTable(
        _ ioas: IOAS, isAutomatic: Bool, isUnprotected: Bool, _ core: Core
    ) throws(Errno) -> IOMMUFDTable {
        let table = IOMMUFDTable(id: nextID, ioas: ioas, isAutomatic: isAutomatic, isUnprotected: isUnprotected)
        try ioas.addTable(isUnprotected: isUnprotected, core)
        add(.table(table), table.id)
        return table
    }

    private func check(_ table: IOMMUFDTable, for device: IOMMUFDDevice, _ core: Core) throws(Errno) {
        if table.faultQueue != nil && !core.iommu.takesPageRequests { throw .operationNotSupportedByDevice }
        // What the hardware reports goes to the guest under the device's name there.
        if let guest = table.guest, device.guestDevice?.guest !== guest { throw .noSuchFileOrDirectory }
    }

    /// `VFIO_DEVICE_ATTACH_PASID`.
    func attach(_ device: IOMMUFDDevice, pasid: UInt32, to id: UInt32, _ core: Core) throws(Errno) {
        let object = objects[id]
        switch object {
        case nil, .tombstone: throw .noSuchFileOrDirectory
        case .table(let table):
            if !table.isForPASIDs || device.table.map({ !$0.isForPASIDs }) == true { throw .invalidArgument }
            if UInt64(pasid) >= 1 << UInt64(core.iommu.pasidBits) || core.iommu.pasidBits == 0 || pasid == 0 {
                throw .invalidArgument
            }
            try check(table, for: device, core)
            let old = device.pasidTables.updateValue(table, forKey: pasid)
            table.deviceCount += 1
            if let old {
                core.answerPages(of: device, pasid, at: old)
                leave(old)
            }
        default: throw .invalidArgument
        }
    }

    func detach(_ device: IOMMUFDDevice, pasid: UInt32, _ core: Core) {
        guard let table = device.pasidTables.removeValue(forKey: pasid) else { return }
        core.answerPages(of: device, pasid, at: table)
        leave(table)
    }

    private func replace(_ device: IOMMUFDDevice, _ table: IOMMUFDTable, _ core: Core) throws(Errno) {
        guard device.table !== table else { return }
        // The devices of a group share one page table, so none of them moves alone.
        let others = core.functions(inGroup: device.function.groupNumber).filter { $0 !== device.function }
        if others.contains(where: { $0.boundDevice?.table != nil && $0.boundDevice?.table !== table }) {
            throw .invalidArgument
        }
        if table.isUnprotected && device.function.hasIOMMU { throw .invalidArgument }
        // What the platform reserves counts only where an IOMMU translates.
        if device.table?.ioas !== table.ioas, device.function.hasIOMMU {
            try table.ioas.addDevice()
            device.table?.ioas.removeDevice()
        }
        let old = device.table
        device.table = table
        table.deviceCount += 1
        if device.function.hasIOMMU { device.function.space = table.ioas }
        if let old {
            core.answerPages(of: device, nil, at: old)
            leave(old)
        }
    }

    /// Takes a device's page table away; its DMA is blocked from then on.
    func detach(_ device: IOMMUFDDevice, _ core: Core) {
        device.access?.accessCount -= 1
        device.access = nil
        guard let table = device.table else { return }
        core.answerPages(of: device, nil, at: table)
        device.table = nil
        device.function.space = nil
        if device.function.hasIOMMU { table.ioas.removeDevice() }
        leave(table)
    }

    private func leave(_ table: IOMMUFDTable) {
        table.deviceCount -= 1
        if table.deviceCount == 0 && table.isAutomatic {
            table.ioas.removeTable(isUnprotected: table.isUnprotected)
            remove(table.id)
        }
    }
}
