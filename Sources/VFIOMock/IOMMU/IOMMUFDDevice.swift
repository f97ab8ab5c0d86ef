internal import CVFIO
import SystemPackage
import VFIO

final class IOMMUFDDevice: IOMMUFDObject {
    let iommufd: IOMMUFD
    unowned let function: any DMADevice
    private(set) var table: IOMMUFDTable?
    private var pasidTables: [UInt32: IOMMUFDTable] = [:]
    weak var guestDevice: GuestDevice?
    /// The address space of a mediated device, which has no page table.
    private var access: IOAS?

    private var iommu: SystemIOMMU { iommufd.iommu }

    /// Binds a device. `IOMMU_DESTROY` fails while it is bound.
    init(_ function: any DMADevice, to iommufd: IOMMUFD) {
        self.function = function
        self.iommufd = iommufd
        super.init()
        users = 1
        iommufd.objects.add(self)
        iommufd.devices[function.groupNumber, default: []].append(self)
    }

    /// Unbinds the device and destroys its vDEVICE.
    func unbind() {
        for pasid in pasidTables.keys { detach(pasid: pasid) }
        detach()
        if let guestDevice { iommufd.objects.bury(guestDevice) }
        iommufd.objects.remove(self)
        iommufd.devices[function.groupNumber]?.removeAll { $0 === self }
    }

    // MARK: Attachment

    /// Attaches the device to a page table or address space and returns the page table's number:
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    func attach(to id: UInt32) throws(Errno) -> UInt32 {
        if function.isMediated { return try attachAccess(to: id) }
        switch iommufd.objects[id] {
        case let table as IOMMUFDTable:
            try check(table)
            if !pasidTables.isEmpty && !table.isForPASIDs { throw .invalidArgument }
            try replace(table)
            return table.id
        case let ioas as IOAS:
            // The kernel's automatic page tables do not support PASIDs.
            if !pasidTables.isEmpty { throw .invalidArgument }
            let isNoIOMMU = !function.hasIOMMU
            // A device without an IOMMU accepts any table, since it uses none.
            if let table = ioas.tables.first(where: { $0.isAutomatic && (isNoIOMMU || !$0.isNoIOMMU) }) {
                try replace(table)
                return table.id
            }
            let table = try iommufd.makeTable(ioas, isAutomatic: true, isNoIOMMU: isNoIOMMU)
            do throws(Errno) {
                try replace(table)
            } catch {
                iommufd.objects.remove(table)
                throw error
            }
            return table.id
        case let object?: throw type(of: object) == IOMMUFDObject.self ? .noSuchFileOrDirectory : .invalidArgument
        case nil: throw .noSuchFileOrDirectory
        }
    }

    /// Attaches a mediated device, which limits nothing.
    private func attachAccess(to id: UInt32) throws(Errno) -> UInt32 {
        let ioas = try iommufd.ioas(id)
        access?.accessCount -= 1
        access = ioas
        ioas.accessCount += 1
        return id
    }

    private func check(_ table: IOMMUFDTable) throws(Errno) {
        if table.faultQueue != nil && !iommu.configuration.takesPageRequests { throw .operationNotSupportedByDevice }
        // Events go to the guest under the device's virtual ID.
        if let guest = table.guest, guestDevice?.guest !== guest { throw .noSuchFileOrDirectory }
    }

    /// `VFIO_DEVICE_ATTACH_PASID`.
    func attach(pasid: UInt32, to id: UInt32) throws(Errno) {
        guard let object = iommufd.objects[id], type(of: object) != IOMMUFDObject.self else {
            throw .noSuchFileOrDirectory
        }
        guard let table = object as? IOMMUFDTable else { throw .invalidArgument }
        if !table.isForPASIDs || self.table.map({ !$0.isForPASIDs }) == true { throw .invalidArgument }
        let bits = iommu.configuration.pasidBits
        if bits == 0 || pasid == 0 || UInt64(pasid) >= 1 << UInt64(bits) { throw .invalidArgument }
        try check(table)
        table.users += 1
        if let old = pasidTables.updateValue(table, forKey: pasid) { leave(old, pasid) }
    }

    func detach(pasid: UInt32) {
        if let table = pasidTables.removeValue(forKey: pasid) { leave(table, pasid) }
    }

    private func replace(_ table: IOMMUFDTable) throws(Errno) {
        guard self.table !== table else { return }
        // The devices of a group share one page table, so none changes alone.
        let others = iommufd.devices[function.groupNumber, default: []].filter { $0 !== self }
        if others.contains(where: { $0.table != nil && $0.table !== table }) { throw .invalidArgument }
        if table.isNoIOMMU && function.hasIOMMU { throw .invalidArgument }
        // Reserved ranges apply only where an IOMMU translates.
        if self.table?.ioas !== table.ioas, function.hasIOMMU {
            try table.ioas.addDevice()
            self.table?.ioas.removeDevice()
        }
        let old = self.table
        self.table = table
        table.users += 1
        if function.hasIOMMU { function.space = table }
        if let old { leave(old, nil) }
    }

    /// Detaches the device; its DMA is blocked from then on.
    func detach() {
        access?.accessCount -= 1
        access = nil
        guard let table else { return }
        self.table = nil
        function.space = nil
        if function.hasIOMMU { table.ioas.removeDevice() }
        leave(table, nil)
    }

    private func leave(_ table: IOMMUFDTable, _ pasid: UInt32?) {
        table.faultQueue?.refuse(self, pasid)
        table.users -= 1
        if table.users == 0 && table.isAutomatic { iommufd.objects.remove(table) }
    }

    // MARK: Page requests and events

    /// Makes a page request (PRI) and returns its number; `nil` without a fault queue.
    func requestPage(_ iova: UInt64, _ access: UInt32, pasid: UInt32?) -> Int? {
        guard iommu.configuration.takesPageRequests,
            let queue = (pasid.map { pasidTables[$0] } ?? table)?.faultQueue
        else { return nil }
        let number = iommu.nextPageRequest()
        var fault = ciommu_hwpt_pgfault()
        fault.flags = CIOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid == nil ? 0 : CIOMMU_PGFAULT_FLAGS_PASID_VALID)
        fault.dev_id = id
        fault.pasid = pasid ?? 0
        fault.grpid = UInt32(number % 512)
        fault.perm = access
        fault.addr = iova
        queue.add(.init(number: number, fault: fault, device: ObjectIdentifier(self), pasid: pasid))
        return number
    }

    /// Reports an SMMU event to the device's guest and returns whether there is a queue for it.
    func reportEvent(_ record: [UInt64]) -> Bool {
        guard let number = guestDevice?.number, let queue = table?.guest?.queues[CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3] else {
            return false
        }
        // The upper half of the first word is the stream ID: here the guest's.
        var words = record
        words[0] = words[0] & 0xffff_ffff | number << 32
        queue.report(words.flatMap(\.littleEndianBytes))
        return true
    }
}
