/// A virtual machine's share of the IOMMU (vIOMMU).
final class GuestIOMMU {
    let id: UInt32
    /// The page table with the guest's memory.
    let parent: IOMMUFDTable

    init(id: UInt32, over parent: IOMMUFDTable) {
        self.id = id
        self.parent = parent
    }
}
