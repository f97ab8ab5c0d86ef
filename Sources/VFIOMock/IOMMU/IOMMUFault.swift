public import VFIO

/// A DMA that the IOMMU refused, as the kernel's DMAR fault.
///
/// The address is the start of the page, as in the kernel's log. A transfer that misses several pages makes one fault
/// for each.
public enum IOMMUFault: Sendable, Hashable {
    /// A device read from a page that is not mapped or not readable. It got zeros.
    case read(iova: IOVA, by: PCIAddress)
    /// A device wrote to a page that is not mapped or not writable. The bytes were dropped.
    case write(iova: IOVA, by: PCIAddress)
}
