/// A virtual machine's share of the IOMMU (vIOMMU).
final class GuestIOMMU: IOMMUFDObject {
    /// The page table with the guest's memory.
    let parent: IOMMUFDTable
    /// Its devices, by their names in it.
    var devices: [UInt64: GuestDevice] = [:]
    /// Its queues, by their types.
    var queues: [UInt32: EventQueueFile] = [:]

    init(over parent: IOMMUFDTable) {
        self.parent = parent
        parent.users += 1
    }

    override func destroyed() { parent.users -= 1 }
}

/// A device's name in a virtual IOMMU (vDEVICE).
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
