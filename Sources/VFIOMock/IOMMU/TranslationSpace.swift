/// Where an address leads, and how far in the same direction.
struct Translation {
    let isReadable: Bool
    let isWritable: Bool
    let backing: PinnedMemory.Backing
    /// Bytes from the start of the backing.
    let offset: UInt64
    /// Bytes from there to the end of the backing.
    let byteCount: UInt64
}

/// A page table of the IOMMU: what a device's addresses lead to.
protocol TranslationSpace: AnyObject {
    /// The mapping that holds an address, `nil` where a DMA faults. It says as well how far the mapping goes from
    /// there.
    func translate(_ iova: UInt64) -> Translation?

    /// A device has written.
    func noteWrite(at iova: UInt64, _ byteCount: Int)
}

/// Mappings for devices, which keep memory pinned.
protocol MappingSpace: AnyObject {
    /// All mappings in order.
    var mappings: [MockMapping] { get }
    /// What is pinned, in no order; a page may be in it more than once.
    var pinnedSegments: [PinnedMemory.Segment] { get }
    /// Bytes of memory that are pinned.
    var pinnedByteCount: UInt64 { get }
}

/// A device as the IOMMU knows it.
protocol DMADevice: AnyObject {
    /// An IOMMU translates its DMA. Without one its DMA is to physical addresses.
    var hasIOMMU: Bool { get }
    /// Its driver does the DMA for it, by the process's addresses.
    var isMediated: Bool { get }
    var groupNumber: Int { get }
    /// The page table that its DMA goes through.
    var space: (any TranslationSpace)? { get set }
}
