/// A page table of the IOMMU: what a device's addresses lead to.
protocol TranslationSpace: AnyObject {
    /// The mapping that holds an address, `nil` where a DMA faults. It says as well how far the mapping goes from
    /// there.
    func translate(_ iova: UInt64) -> Translation?
    /// All mappings in order.
    var mappings: [MockMapping] { get }
    /// What is pinned, in no order; a page may be in it more than once.
    var pinnedSegments: [PinnedMemory.Segment] { get }
    /// Bytes of memory that are pinned.
    var pinnedByteCount: UInt64 { get }
}
