import SystemPackage

extension IOMMUFD {
    /// Gives a device another page table, or its first: `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Returns: The number of the page table.
    func attach(_ device: IOMMUFDDevice, to id: UInt32, _ core: Core) throws(Errno) -> UInt32 {
        switch objects[id] {
        case nil: throw .noSuchFileOrDirectory
        case .device, .faultQueue: throw .invalidArgument
        case .table(let table):
            // No device here can ask for pages.
            if table.faultQueue != nil { throw .operationNotSupportedByDevice }
            try replace(device, table, core)
            return table.id
        case .ioas(let ioas):
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

    func makeTable(
        _ ioas: IOAS, isAutomatic: Bool, isUnprotected: Bool, _ core: Core
    ) throws(Errno) -> IOMMUFDTable {
        let table = IOMMUFDTable(id: nextID, ioas: ioas, isAutomatic: isAutomatic, isUnprotected: isUnprotected)
        try ioas.addTable(isUnprotected: isUnprotected, core)
        add(.table(table), table.id)
        return table
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
        if let old { leave(old) }
    }

    /// Takes a device's page table away; its DMA is blocked from then on.
    func detach(_ device: IOMMUFDDevice) {
        guard let table = device.table else { return }
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
