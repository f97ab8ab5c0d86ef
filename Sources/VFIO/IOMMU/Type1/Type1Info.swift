internal import CVFIO

/// What a type1 container tells of its IOMMU (`VFIO_IOMMU_GET_INFO`).
public struct Type1Info: Sendable, Hashable {
    /// The sizes of the IOMMU's pages in bytes, smallest first.
    public let pageSizes: [UInt64]
    /// The ranges that can be mapped, last address included; empty when the kernel does not tell, and when
    /// there are only mediated devices, which have no limits.
    public let iovaRanges: [ClosedRange<IOVA>]
    /// How many more mappings the container takes now; `nil` when the kernel does not tell.
    public let availableMappings: Int?
    /// What can be asked of the tracking of dirty pages; `nil` when there is none.
    public let dirtyTracking: DirtyTrackingLimits?

    /// What the tracking of dirty pages works with (`VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`).
    public struct DirtyTrackingLimits: Sendable, Hashable {
        /// How many bytes one bit can stand for, smallest first.
        public let pageSizes: [UInt64]
        /// The length of the longest bitmap of one query, in bytes.
        public let largestBitmapByteCount: UInt64
    }

    static let subject = "the type1 container"

    /// Reads the kernel's answer.
    ///
    /// - Parameter pageSize: What a kernel that gives no page sizes means, in bytes.
    init(_ answer: borrowing RequestBuffer, pageSize: Int) throws(VFIOError) {
        let info = answer.header(cvfio_iommu_type1_info.self)
        var ranges: [ClosedRange<IOVA>] = []
        var available: Int?
        var tracking: DirtyTrackingLimits?
        if info.flags & CVFIO_IOMMU_INFO_CAPS != 0 {
            try CapabilityChain.walk(
                answer, from: info.cap_offset, headerSize: MemoryLayout<cvfio_iommu_type1_info>.size,
                subject: Self.subject
            ) { (id, offset) throws(VFIOError) in
                switch id {
                case CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: ranges = try Self.ranges(in: answer, at: offset)
                case CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: tracking = try Self.tracking(in: answer, at: offset)
                case CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
                    guard let entry = answer.load(cvfio_iommu_type1_info_dma_avail.self, at: offset) else {
                        throw CapabilityChain.truncated("mappings left", subject: Self.subject)
                    }
                    available = Int(entry.avail)
                default: break
                }
            }
        }
        let bitmap = info.flags & CVFIO_IOMMU_INFO_PGSIZES != 0 ? info.iova_pgsizes : UInt64(pageSize)
        self.pageSizes = Self.sizes(bitmap)
        self.iovaRanges = ranges
        self.availableMappings = available
        self.dirtyTracking = tracking
    }

    private static func sizes(_ bitmap: UInt64) -> [UInt64] {
        (0..<64).map { UInt64(1) << $0 }.filter { bitmap & $0 != 0 }
    }

    private static func tracking(
        in answer: borrowing RequestBuffer, at offset: Int
    ) throws(VFIOError) -> DirtyTrackingLimits {
        guard let entry = answer.load(cvfio_iommu_type1_info_cap_migration.self, at: offset) else {
            throw CapabilityChain.truncated("migration", subject: subject)
        }
        return DirtyTrackingLimits(
            pageSizes: sizes(entry.pgsize_bitmap), largestBitmapByteCount: entry.max_dirty_bitmap_size)
    }

    private static func ranges(
        in answer: borrowing RequestBuffer, at offset: Int
    ) throws(VFIOError) -> [ClosedRange<IOVA>] {
        typealias Header = cvfio_iommu_type1_info_cap_iova_range
        guard let header = answer.load(Header.self, at: offset) else {
            throw CapabilityChain.truncated("IOVA ranges", subject: subject)
        }
        var ranges: [ClosedRange<IOVA>] = []
        for index in 0..<Int(header.nr_iovas) {
            let position = offset + MemoryLayout<Header>.size + index * MemoryLayout<cvfio_iova_range>.size
            guard let range = answer.load(cvfio_iova_range.self, at: position), range.start <= range.end else {
                throw CapabilityChain.truncated("IOVA ranges", subject: subject)
            }
            ranges.append(IOVA(range.start)...IOVA(range.end))
        }
        return ranges
    }
}
