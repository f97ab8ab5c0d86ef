import SystemPackage

/// What an open `/dev/iommu` holds: objects with numbers.
final class IOMMUFD {
    enum Object {
        case ioas(IOAS)
        case table(IOMMUFDTable)
        case device(IOMMUFDDevice)
    }

    private(set) var objects: [UInt32: Object] = [:]
    /// `IOMMU_OPTION_RLIMIT_MODE`: locked memory counts by process.
    var countsByProcess = false

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
            if !tables(of: ioas).isEmpty { throw .resourceBusy }
            _ = try? ioas.unmap(0, .max, core)
        case .table(let table):
            if table.deviceCount > 0 { throw .resourceBusy }
            table.ioas.removeTable()
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
