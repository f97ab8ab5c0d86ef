internal import SystemPackage

/// A hardware page table (HWPT) of the IOMMU with the mappings of an address space, which attached devices use.
/// The corresponding request is `IOMMU_HWPT_ALLOC`.
///
/// The kernel allocates one automatically for a device that is opened into an ``AddressSpace``. An explicitly allocated
/// one can track dirty pages, or let the process handle page faults, if the hardware supports it.
///
/// ```swift
/// let table = try device.makePageTable(options: .dirtyTracking)
/// try device.attach(to: table)
/// ```
public struct HardwarePageTable: ~Copyable, Sendable {
    /// The capabilities of a page table beyond translation.
    public struct Options: OptionSet, Sendable, Hashable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// The page table can be the parent of nested page tables (`IOMMU_HWPT_ALLOC_NEST_PARENT`).
        public static let nestingParent = Options(rawValue: 1 << 0)
        /// The page table tracks which pages are written (`IOMMU_HWPT_ALLOC_DIRTY_TRACKING`).
        public static let dirtyTracking = Options(rawValue: 1 << 1)
        /// The page table can be attached to a PASID of a device (`IOMMU_HWPT_ALLOC_PASID`).
        public static let pasid = Options(rawValue: 1 << 3)
    }

    package let object: IOMMUFDObject
    /// The options that it was made with.
    public let options: Options

    /// The address space whose mappings it contains.
    public var space: AddressSpace { object.space }

    /// Starts hardware tracking of written pages, from a clean state, or stops it.
    /// The corresponding request is `IOMMU_HWPT_SET_DIRTY_TRACKING`.
    ///
    /// - Throws: `.unsupported` unless the page table was made with ``Options/dirtyTracking``.
    public func setDirtyTracking(_ isOn: Bool) throws(VFIOError) {
        try ABI.setDirtyTracking(of: object.id, isOn).perform(
            on: object.file, "track dirty pages", "the page table", lacking: Self.lacking)
    }

    private static let lacking = "it was not made with dirtyTracking, or the kernel (Linux 6.7) lacks it"

    /// Returns the pages written since the last call. The corresponding request is `IOMMU_HWPT_GET_DIRTY_BITMAP`.
    ///
    /// - Parameters:
    ///   - iova: The first address.
    ///   - byteCount: The length in bytes.
    ///   - pageSize: The bytes per bit of the bitmap: a power of two, at least a page of the IOMMU.
    ///   - keepsMarks: Whether the pages stay dirty for the next call (`IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR`).
    /// - Throws: `.misaligned`, `.outOfRange`; `.unsupported` unless the page table was made with
    ///   ``Options/dirtyTracking``.
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
        // The limit keeps the bitmap below 2 GiB.
        guard !iova.rawValue.addingReportingOverflow(byteCount - 1).overflow, byteCount / pageSize < 1 << 34 else {
            throw VFIOError(.outOfRange, operation, subject, hint: "ask for parts of it")
        }
        let bitmap = try ABI.getDirtyBitmap(
            of: object.id, iova.rawValue, byteCount: byteCount, pageSize: pageSize, keepsMarks: keepsMarks
        ).perform(on: object.file, words, "the page table", lacking: Self.lacking)
        return DirtyBitmap(iova, byteCount: byteCount, pageSize: pageSize, words: bitmap)
    }

    /// Destroys the page table and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    ///
    /// - Throws: `.inUse` while a device is attached: the page table is destroyed after the last one is detached.
    public consuming func close() throws(VFIOError) { try object.close() }
}
