internal import CVFIO
public import VFIO

/// A range of a guest's address space to invalidate: an entry of Intel VT-d.
public struct VTDInvalidation: Sendable, Hashable {
    /// The first address, page-aligned.
    public var iova: IOVA
    /// The number of 4096-byte pages; `UInt64.max` from 0 for the whole address space.
    public var pageCount: UInt64
    /// Whether only the last level of the page table has changed.
    public var isLeafOnly: Bool

    public init(from iova: IOVA, pageCount: UInt64, isLeafOnly: Bool = false) {
        self.iova = iova
        self.pageCount = pageCount
        self.isLeafOnly = isLeafOnly
    }

    /// The whole address space.
    public static let all = VTDInvalidation(from: 0, pageCount: .max)

    var entry: ciommu_hwpt_vtd_s1_invalidate {
        var entry = ciommu_hwpt_vtd_s1_invalidate()
        entry.addr = iova.rawValue
        entry.npages = pageCount
        entry.flags = isLeafOnly ? CIOMMU_VTD_INV_FLAGS_LEAF : 0
        return entry
    }
}
