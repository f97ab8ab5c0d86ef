internal import CVFIO
public import VFIO

/// A part of a guest's address space that the hardware is to forget: an entry of Intel VT-d.
public struct VTDInvalidation: Sendable, Hashable {
    /// The first address, of a page.
    public var iova: IOVA
    /// How many pages of 4096 bytes; `UInt64.max` from 0 for all there are.
    public var pageCount: UInt64
    /// Only the last level of the page table has changed.
    public var isLeafOnly: Bool

    public init(from iova: IOVA, pageCount: UInt64, isLeafOnly: Bool = false) {
        self.iova = iova
        self.pageCount = pageCount
        self.isLeafOnly = isLeafOnly
    }

    /// Everything.
    public static let all = VTDInvalidation(from: 0, pageCount: .max)

    var entry: ciommu_hwpt_vtd_s1_invalidate {
        var entry = ciommu_hwpt_vtd_s1_invalidate()
        entry.addr = iova.rawValue
        entry.npages = pageCount
        entry.flags = isLeafOnly ? CIOMMU_VTD_INV_FLAGS_LEAF : 0
        return entry
    }
}
