/// A device's name in a virtual IOMMU (vDEVICE).
final class GuestDevice {
    let id: UInt32
    let guest: GuestIOMMU
    let device: IOMMUFDDevice
    let number: UInt64

    init(id: UInt32, in guest: GuestIOMMU, _ device: IOMMUFDDevice, number: UInt64) {
        self.id = id
        self.guest = guest
        self.device = device
        self.number = number
    }
}
