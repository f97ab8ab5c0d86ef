/// A virtual IOMMU of a virtual machine (vIOMMU).
final class GuestIOMMU: IOMMUFDObject {
    /// The stage-2 page table, which maps the guest's memory.
    let parent: IOMMUFDTable
    /// Its devices by their virtual IDs.
    var devices: [UInt64: GuestDevice] = [:]
    /// Its event queues by type.
    var queues: [UInt32: EventQueueFile] = [:]

    init(over parent: IOMMUFDTable) {
        self.parent = parent
        parent.users += 1
    }

    override func destroyed() { parent.users -= 1 }
}

/// A device in a virtual IOMMU, under its virtual ID (vDEVICE).
final class GuestDevice: IOMMUFDObject {
    let guest: GuestIOMMU
    private weak var device: IOMMUFDDevice?
    let number: UInt64

    init(in guest: GuestIOMMU, _ device: IOMMUFDDevice, number: UInt64) {
        self.guest = guest
        self.device = device
        self.number = number
        super.init()
        guest.users += 1
        guest.devices[number] = self
        device.guestDevice = self
    }

    override func destroyed() {
        guest.users -= 1
        guest.devices[number] = nil
        device?.guestDevice = nil
    }
}
