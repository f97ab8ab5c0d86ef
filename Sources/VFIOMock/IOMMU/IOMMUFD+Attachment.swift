import SystemPackage

extension IOMMUFD {
    /// Gives a device another page table, or its first: `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Returns: The number of the page table.
    func attach(_ device: IOMMUFDDevice, to id: UInt32, _ core: Core) throws(Errno) -> UInt32 {
        if device.function.mediated != nil { return try attachAccess(device, to: id) }
        switch objects[id] {
        case nil: throw .noSuchFileOrDirectory
        case .device, .faultQueue: throw .invalidArgument
        case .table(let table):
            // No device here can ask for pages.
            if table.faultQueue != nil { throw .operationNotSupportedByDevice }
            try replace(device, table, core)
            return table.id
        case .ioas(let ioas):
            if let table = tables(of: ioas).first(where: \.isAutomatic) {
                try replace(device, table, core)
                return table.id
            }
            let table = try makeTable(ioas, isAutomatic: true, core)
            do throws(Errno) {
                try replace(device, table, core)
            } catch {
                ioas.removeTable()
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

    func makeTable(_ ioas: IOAS, isAutomatic: Bool, _ core: Core) throws(Errno) -> IOMMUFDTable {
        let table = IOMMUFDTable(id: nextID, ioas: ioas, isAutomatic: isAutomatic)
        try ioas.addTable(core)
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
        if device.table?.ioas !== table.ioas {
            try table.ioas.addDevice()
            device.table?.ioas.removeDevice()
        }
        let old = device.table
        device.table = table
        table.deviceCount += 1
        device.function.space = table.ioas
        if let old { leave(old) }
    }

    /// Takes a device's page table away; its DMA is blocked from then on.
    func detach(_ device: IOMMUFDDevice) {
        device.access?.accessCount -= 1
        device.access = nil
        guard let table = device.table else { return }
        device.table = nil
        device.function.space = nil
        table.ioas.removeDevice()
        leave(table)
    }

    private func leave(_ table: IOMMUFDTable) {
        table.deviceCount -= 1
        if table.deviceCount == 0 && table.isAutomatic {
            table.ioas.removeTable()
            remove(table.id)
        }
    }
}
