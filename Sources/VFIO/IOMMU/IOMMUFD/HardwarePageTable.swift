internal import SystemPackage

/// A page table of the IOMMU's own, made from an address space: what is mapped there, devices attached to it reach
/// (HWPT). The corresponding request is `IOMMU_HWPT_ALLOC`.
///
/// The kernel makes one by itself for a device that is opened into an ``AddressSpace``. One that is made by hand can track
/// dirty pages, or let the process answer page faults, where the hardware has that.
///
/// ```swift
/// let table = try device.makePageTable(options: .dirtyTracking)
/// try device.attach(to: table)
/// ```
public struct HardwarePageTable: ~Copyable, Sendable {
    /// What a page table can do beyond translation.
    public struct Options: OptionSet, Sendable, Hashable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// It can be the parent of page tables that a guest keeps (`IOMMU_HWPT_ALLOC_NEST_PARENT`).
        public static let nestingParent = Options(rawValue: 1 << 0)
        /// It notes which pages are written (`IOMMU_HWPT_ALLOC_DIRTY_TRACKING`).
        public static let dirtyTracking = Options(rawValue: 1 << 1)
        /// It can be attached to a PASID of a device (`IOMMU_HWPT_ALLOC_PASID`).
        public static let pasid = Options(rawValue: 1 << 3)
    }

    package let object: IOMMUFDObject
    /// What it was made for.
    public let options: Options

    /// The address space whose mappings it has.
    public var space: AddressSpace { object.space }

    /// Lets the hardware note which pages are written, from a clean state, or ends that.
    /// The corresponding request is `IOMMU_HWPT_SET_DIRTY_TRACKING`.
    ///
    /// - Throws: `.unsupported` unless it was made with ``Options/dirtyTracking``.
    public func setDirtyTracking(_ isOn: Bool) throws(VFIOError) {
        try ABI.setDirtyTracking(of: object.id, isOn).perform(
            on: object.file, "track dirty pages", "the page table", lacking: Self.lacking)
    }

    private static let lacking = "it was not made with dirtyTracking, or the kernel (Linux 6.7) lacks it"

    /// Which pages were written since the last question. The corresponding request is `IOMMU_HWPT_GET_DIRTY_BITMAP`.
    ///
    /// - Parameters:
    ///   - iova: The first address.
    ///   - byteCount: The length in bytes.
    ///   - pageSize: How many bytes one bit stands for: a power of two, no less than a page of the IOMMU.
    ///   - keepsMarks: Whether the pages stay dirty for the next question (`IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR`).
    /// - Throws: `.misaligned`, `.outOfRange`; `.unsupported` unless it was made with ``Options/dirtyTracking``.
    public func dirtyPages(
        from iova: IOVA, byteCount: UInt64, pageSize: UInt64 = 4096, keepsMarks: Bool = false
    ) throws(VFIOError) -> DirtyBitmap {
        let words = "read dirty pages"
        let operation = ABI.Call.getDirtyBitmap.operation(words)
        let subject = "\(byteCount) bytes at IOVA \(iova)"
        guard pageSize.nonzeroBitCount == 1, byteCount > 0, iova.rawValue.isAligned(to: pageSize),
            byteCount.isAligned(to: pageSize)
        else {
            throw VFIOError(
                .misaligned, operation, subject,
                hint: "the range consists of pages of \(pageSize) bytes, which has to be a power of two")
        }
        // 2 GiB of bitmap are more than anybody asks for at once.
        guard !iova.rawValue.addingReportingOverflow(byteCount - 1).overflow, byteCount / pageSize < 1 << 34 else {
            throw VFIOError(.outOfRange, operation, subject, hint: "ask for parts of it")
        }
        let bitmap = try ABI.getDirtyBitmap(
            of: object.id, iova.rawValue, byteCount: byteCount, pageSize: pageSize, keepsMarks: keepsMarks
        ).perform(on: object.file, words, "the page table", lacking: Self.lacking)
        return DirtyBitmap(iova, byteCount: byteCount, pageSize: pageSize, words: bitmap)
    }

    /// Destroys the page table and reports what the kernel said.
    ///
    /// - Throws: `.inUse` while a device is attached: it is destroyed when the last one has left.
    public consuming func close() throws(VFIOError) { try object.close() }
}
