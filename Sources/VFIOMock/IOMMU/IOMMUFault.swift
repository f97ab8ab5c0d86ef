public import VFIO

/// A DMA that the IOMMU refused: what the kernel would log as a DMAR fault.
///
/// The address is the start of the page, as in the kernel's log: hardware does not tell more. A transfer that misses
/// several pages makes one fault for each.
public enum IOMMUFault: Sendable, Hashable {
    /// A device read from a page that is not mapped, or not for reading. It got zeros.
    case read(iova: IOVA, by: PCIAddress)
    /// A device wrote to a page that is not mapped, or not for writing. The bytes are gone.
    case write(iova: IOVA, by: PCIAddress)
}
