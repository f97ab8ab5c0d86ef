public import VFIO

/// An IOMMU mapping in ``MockMachine/mappings``.
public struct MockMapping: Sendable, Hashable {
    /// The target of a mapping.
    public enum Target: Sendable, Hashable {
        /// Memory of the process, pinned while it is mapped.
        case memory
        /// A BAR of a device, by its number.
        case bar(Int, of: PCIAddress)
        /// A revoked dma-buf: DMA faults until it is unmapped and mapped again.
        case revoked
    }

    /// The first address.
    public let iova: IOVA
    /// The length in bytes.
    public let byteCount: UInt64
    /// Whether devices may read.
    public let isReadable: Bool
    /// Whether devices may write.
    public let isWritable: Bool
    public let target: Target

    public init(iova: IOVA, byteCount: UInt64, isReadable: Bool, isWritable: Bool, target: Target) {
        self.iova = iova
        self.byteCount = byteCount
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.target = target
    }
}
