/// A device that is bound to an iommufd.
final class IOMMUFDDevice {
    let id: UInt32
    unowned let function: PCIFunction
    var table: IOMMUFDTable?
    /// What the device's PASIDs are attached to.
    var pasidTables: [UInt32: IOMMUFDTable] = [:]
    /// Its name in a guest's IOMMU.
    weak var guestDevice: GuestDevice?
    /// What the driver of a mediated device reaches memory by; it has no page table.
    var access: IOAS?

    init(id: UInt32, _ function: PCIFunction) {
        self.id = id
        self.function = function
    }
}
