internal import CVFIO

/// The IOMMU properties that a type1 container reports. The corresponding request is `VFIO_IOMMU_GET_INFO`.
public struct Type1Info: Sendable, Hashable {
    /// The sizes of the IOMMU's pages in bytes, smallest first.
    public let pageSizes: [UInt64]
    /// The ranges that can be mapped, inclusive; empty if the kernel does not report them, and if there are only
    /// mediated devices, which have no limits.
    public let iovaRanges: [ClosedRange<IOVA>]
    /// The number of further mappings that the container accepts now; `nil` if the kernel does not report it.
    public let availableMappings: Int?
    /// The limits of dirty tracking; `nil` without dirty tracking.
    public let dirtyTracking: DirtyTrackingLimits?

    /// The limits of dirty tracking (`VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`).
    public struct DirtyTrackingLimits: Sendable, Hashable {
        /// The supported page sizes of the bitmap in bytes, smallest first.
        public let pageSizes: [UInt64]
        /// The length of the longest bitmap of one query, in bytes.
        public let largestBitmapByteCount: UInt64
    }

    static let subject = "the type1 container"

    /// Decodes the kernel's answer.
    ///
    /// - Parameter pageSize: The page size in bytes, for a kernel that reports none.
    init(_ answer: InfoAnswer<cvfio_iommu_type1_info>, pageSize: Int) throws(VFIOError) {
        let info = answer.structure
        let bitmap = info.flags & CVFIO_IOMMU_INFO_PGSIZES != 0 ? info.iova_pgsizes : UInt64(pageSize)
        pageSizes = Self.sizes(bitmap)
        let (rangesID, rangesName) = (CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, "IOVA ranges")
        let list = try answer.capability(rangesID, rangesName, as: cvfio_iommu_type1_info_cap_iova_range.self)
        iovaRanges = try answer.elements(
            of: rangesID, rangesName, at: MemoryLayout<cvfio_iommu_type1_info_cap_iova_range>.size,
            count: Int(list?.nr_iovas ?? 0), as: cvfio_iova_range.self
        ).map { (range) throws(VFIOError) in
            guard range.start <= range.end else { throw answer.truncated(rangesName) }
            return IOVA(range.start)...IOVA(range.end)
        }
        dirtyTracking = try answer.capability(
            CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, "migration", as: cvfio_iommu_type1_info_cap_migration.self
        ).map {
            DirtyTrackingLimits(
                pageSizes: Self.sizes($0.pgsize_bitmap), largestBitmapByteCount: $0.max_dirty_bitmap_size)
        }
        availableMappings = try answer.capability(
            CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, "mappings left", as: cvfio_iommu_type1_info_dma_avail.self
        ).map { Int($0.avail) }
    }

    private static func sizes(_ bitmap: UInt64) -> [UInt64] {
        (0..<64).map { UInt64(1) << $0 }.filter { bitmap & $0 != 0 }
    }
}
