/// The target of an address.
struct Translation {
    let isReadable: Bool
    let isWritable: Bool
    let backing: PinnedMemory.Backing
    /// Bytes from the start of the backing.
    let offset: UInt64
    /// Bytes from there to the end of the backing.
    let byteCount: UInt64
}

/// A page table of the IOMMU.
protocol TranslationSpace: AnyObject {
    /// The target of an address and the number of bytes from there to the end of the mapping; `nil` where DMA faults.
    func translate(_ iova: UInt64) -> Translation?

    func noteWrite(at iova: UInt64, _ byteCount: Int)
}

/// A set of mappings, which pin memory.
protocol MappingSpace: AnyObject {
    /// All mappings in order.
    var mappings: [MockMapping] { get }
    /// The pinned memory in any order; pages may repeat.
    var pinnedSegments: [PinnedMemory.Segment] { get }
    var pinnedByteCount: UInt64 { get }
}

/// A device from the IOMMU's side.
protocol DMADevice: AnyObject {
    /// Whether an IOMMU translates its DMA. Otherwise its DMA uses physical addresses.
    var hasIOMMU: Bool { get }
    /// Whether its driver does the DMA for it, by the process's addresses.
    var isMediated: Bool { get }
    var groupNumber: Int { get }
    /// The page table of its DMA.
    var space: (any TranslationSpace)? { get set }
}
