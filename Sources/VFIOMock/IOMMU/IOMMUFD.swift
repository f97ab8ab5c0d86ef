import SystemPackage

/// What an open `/dev/iommu` holds: objects with numbers.
final class IOMMUFD {
    enum Object {
        case ioas(IOAS)
        case table(IOMMUFDTable)
        case device(IOMMUFDDevice)
        case faultQueue(FaultQueueFile)
    }

    private(set) var objects: [UInt32: Object] = [:]
    /// `IOMMU_OPTION_RLIMIT_MODE`: locked memory counts by process.
    var countsByProcess = false
    /// The address space that a container's requests act on (`IOMMU_VFIO_IOAS`).
    var containerSpace: UInt32?

    /// The number that the next object gets: the lowest that is free, from 1.
    var nextID: UInt32 {
        var id: UInt32 = 1
        while objects[id] != nil { id += 1 }
        return id
    }

    func add(_ object: Object, _ id: UInt32) { objects[id] = object }

    func remove(_ id: UInt32) { objects[id] = nil }

    func ioas(_ id: UInt32) throws(Errno) -> IOAS {
        guard case .ioas(let ioas)? = objects[id] else { throw .noSuchFileOrDirectory }
        return ioas
    }

    func table(_ id: UInt32) throws(Errno) -> IOMMUFDTable {
        guard case .table(let table)? = objects[id] else { throw .noSuchFileOrDirectory }
        return table
    }

    func device(_ id: UInt32) throws(Errno) -> IOMMUFDDevice {
        guard case .device(let device)? = objects[id] else { throw .noSuchFileOrDirectory }
        return device
    }

    var spaces: [IOAS] {
        objects.sorted { $0.key < $1.key }.compactMap { if case .ioas(let ioas) = $0.value { ioas } else { nil } }
    }

    func tables(of ioas: IOAS) -> [IOMMUFDTable] {
        objects.values.compactMap {
            if case .table(let table) = $0, table.ioas === ioas { table } else { nil }
        }
    }

    /// `IOMMU_DESTROY`.
    func destroy(_ id: UInt32, _ core: Core) throws(Errno) {
        switch objects[id] {
        case nil: throw .noSuchFileOrDirectory
        case .device: throw .resourceBusy
        case .ioas(let ioas):
            if !tables(of: ioas).isEmpty || ioas.accessCount > 0 { throw .resourceBusy }
            if containerSpace == id { containerSpace = nil }
            _ = try? ioas.unmap(0, .max, core)
        case .table(let table):
            if table.deviceCount > 0 { throw .resourceBusy }
            table.ioas.removeTable()
        case .faultQueue(let queue):
            let isUsed = objects.values.contains {
                if case .table(let table) = $0 { table.faultQueue === queue } else { false }
            }
            if queue.isOpen || isUsed { throw .resourceBusy }
        }
        remove(id)
    }

    /// The last descriptor is gone, and no device is bound any more.
    func close(_ core: Core) {
        for case .table(let table) in objects.values { table.ioas.removeTable() }
        for case .ioas(let ioas) in objects.values { _ = try? ioas.unmap(0, .max, core) }
        objects = [:]
    }
}
