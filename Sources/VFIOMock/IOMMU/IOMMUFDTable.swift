/// A hardware page table made from an address space.
final class IOMMUFDTable {
    let id: UInt32
    let ioas: IOAS
    /// The kernel made it for a device that was attached to the address space, and ends it with the last such device.
    let isAutomatic: Bool
    var deviceCount = 0
    /// Who is to hear of page faults.
    var faultQueue: FaultQueueFile?
    /// It is for devices without an IOMMU: it only keeps memory pinned, and tells where it is.
    let isUnprotected: Bool

    init(id: UInt32, ioas: IOAS, isAutomatic: Bool, isUnprotected: Bool) {
        self.isUnprotected = isUnprotected
        self.id = id
        self.ioas = ioas
        self.isAutomatic = isAutomatic
    }
}
