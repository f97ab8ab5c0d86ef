import SystemPackage

/// What an open `/dev/iommu` holds: objects with numbers.
final class IOMMUFD {
    enum Object {
        case ioas(IOAS)
        case table(IOMMUFDTable)
        case device(IOMMUFDDevice)
        case faultQueue(FaultQueueFile)
        case guestIOMMU(GuestIOMMU)
        case guestDevice(GuestDevice)
        case eventQueue(EventQueueFile)
        /// What was destroyed with its device; the number stays taken.
        case tombstone
    }

    private(set) var objects: [UInt32: Object] = [:]
    /// `IOMMU_OPTION_RLIMIT_MODE`: locked memory counts by process.
    var countsByProcess = false
    /// The address space that a container's requests act on (`IOMMU_VFIO_IOAS`).
    var containerSpace: UInt32?
    /// A group without an IOMMU has taken it as its container, which rules out the others.
    var isContainerUnprotected = false

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

    /// A page table that the kernel keeps.
    func table(_ id: UInt32) throws(Errno) -> IOMMUFDTable {
        guard case .table(let table)? = objects[id], table.parent == nil else { throw .noSuchFileOrDirectory }
        return table
    }

    func guestIOMMU(_ id: UInt32) throws(Errno) -> GuestIOMMU {
        guard case .guestIOMMU(let guest)? = objects[id] else { throw .noSuchFileOrDirectory }
        return guest
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
            if case .table(let table) = $0, table.ioas === ioas, table.parent == nil { table } else { nil }
        }
    }

    /// Whether another object holds this one.
    private func isHeld(_ isHolder: (Object) -> Bool) -> Bool { objects.values.contains(where: isHolder) }

    /// `IOMMU_DESTROY`.
    func destroy(_ id: UInt32, _ core: Core) throws(Errno) {
        switch objects[id] {
        case nil, .tombstone: throw .noSuchFileOrDirectory
        case .device: throw .resourceBusy
        case .ioas(let ioas):
            if !tables(of: ioas).isEmpty || ioas.accessCount > 0 { throw .resourceBusy }
            if containerSpace == id { containerSpace = nil }
            _ = try? ioas.unmap(0, .max, core)
        case .table(let table):
            let isParent = isHeld {
                switch $0 {
                case .table(let other): other.parent === table && other.guest == nil
                case .guestIOMMU(let guest): guest.parent === table
                default: false
                }
            }
            if table.deviceCount > 0 || isParent { throw .resourceBusy }
            if table.parent == nil { table.ioas.removeTable(isUnprotected: table.isUnprotected) }
        case .faultQueue(let queue):
            let isUsed = isHeld { if case .table(let table) = $0 { table.faultQueue === queue } else { false } }
            if queue.readiness.isOpen || isUsed { throw .resourceBusy }
        case .guestIOMMU(let guest):
            let isUsed = isHeld {
                switch $0 {
                case .table(let table): table.guest === guest
                case .guestDevice(let device): device.guest === guest
                case .eventQueue(let queue): queue.guest === guest
                default: false
                }
            }
            if isUsed { throw .resourceBusy }
        case .guestDevice(let device): device.device.guestDevice = nil
        case .eventQueue(let queue): if queue.readiness.isOpen { throw .resourceBusy }
        }
        remove(id)
    }

    /// A device goes, and with it its name in a guest's IOMMU.
    func removeDevice(_ device: IOMMUFDDevice) {
        if let name = device.guestDevice {
            device.guestDevice = nil
            objects[name.id] = .tombstone
        }
        remove(device.id)
    }

    /// The last descriptor is gone, and no device is bound any more.
    func close(_ core: Core) {
        for case .table(let table) in objects.values where table.parent == nil {
            table.ioas.removeTable(isUnprotected: table.isUnprotected)
        }
        for case .ioas(let ioas) in objects.values { _ = try? ioas.unmap(0, .max, core) }
        objects = [:]
    }
}
