internal import SystemPackage

/// The tracking of pages that devices write through a type1 container, until the end of this value's life.
///
/// ```swift
/// let tracking = try space.startDirtyTracking()
/// let bitmap = try tracking.dirtyPages(of: buffer)
/// for range in bitmap.dirtyRanges { … }
/// ```
///
/// Unless all devices tell the kernel which pages they write, as mediated devices do, every page that is mapped counts as
/// dirty, each time.
public struct DirtyTracking: ~Copyable, Sendable {
    /// The address space whose pages are tracked.
    public let space: AddressSpace
    private let container: Type1Container
    private let limits: Type1Info.DirtyTrackingLimits
    private var isOpen = true

    fileprivate static let words = "track dirty pages"

    init(_ space: AddressSpace, _ container: Type1Container) throws(VFIOError) {
        let operation = ABI.Call.trackDirtyPages.operation(Self.words)
        guard let limits = try container.info(for: operation).dirtyTracking, limits.pageSizes.first != nil else {
            throw VFIOError(
                .unsupported, operation, Type1Info.subject, hint: "the container's IOMMU does not offer it")
        }
        try container.startDirtyTracking(Self.words)
        self.space = space
        self.container = container
        self.limits = limits
    }

    /// How many bytes one bit stands for: the smallest page size, the only one that the kernel takes.
    public var pageSize: UInt64 { limits.pageSizes[0] }

    /// The pages of a range that may have been written since the last question
    /// (`VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP`). The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    ///
    /// - Parameters:
    ///   - iova: The first address.
    ///   - byteCount: The length in bytes. The range has to cover each mapping that it touches.
    /// - Throws: `.misaligned`; `.outOfRange` for a range whose bitmap would be too long, or that cuts a mapping in two.
    public func dirtyPages(from iova: IOVA, byteCount: UInt64) throws(VFIOError) -> DirtyBitmap {
        let words = "read dirty pages"
        try check(iova, byteCount, ABI.Call.trackDirtyPages.operation(words))
        let request = ABI.readDirtyPages(iova.rawValue, byteCount: byteCount, pageSize: pageSize)
        let bitmap = try request.perform(
            on: container, words, "IOVA \(iova)...\(IOVA(iova.rawValue + (byteCount - 1)))",
            refusals: [.invalidArgument: (.outOfRange, "the range may not begin or end inside a mapping")])
        return DirtyBitmap(iova, byteCount: byteCount, pageSize: pageSize, words: bitmap)
    }

    /// The pages of a buffer that may have been written since the last question.
    public func dirtyPages(of buffer: borrowing DMABuffer) throws(VFIOError) -> DirtyBitmap {
        try dirtyPages(from: buffer.iova, byteCount: UInt64(buffer.byteCount))
    }

    /// The pages of a mapping that may have been written since the last question.
    public func dirtyPages(of mapping: borrowing DMAMapping) throws(VFIOError) -> DirtyBitmap {
        try dirtyPages(from: mapping.iova, byteCount: mapping.byteCount)
    }

    /// Unmaps a mapping, and tells which of its pages were written until then (`VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`):
    /// none is missed in between. The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    ///
    /// After an error the mapping's owner is gone all the same, and what was written is not known: take all of it for
    /// dirty. It is still mapped only where the kernel refused.
    ///
    /// - Throws: `.invalidArgument` for a mapping of another address space, `.outOfRange` for one whose bitmap would be too
    ///   long, `.kernel` when the kernel refused.
    public func unmap(_ mapping: consuming DMAMapping) throws(VFIOError) -> DirtyBitmap {
        let words = "unmap memory and read its dirty pages"
        let operation = ABI.Call.unmapDMA.operation(words)
        guard mapping.space === space else {
            throw VFIOError(
                .invalidArgument, operation, "IOVA \(mapping.iova)", hint: "it is a mapping of another address space")
        }
        let (iova, byteCount) = (mapping.iova, mapping.byteCount)
        try check(iova, byteCount, operation)
        let (container, pageSize) = (container, pageSize)
        var bitmap: [UInt64] = []
        try mapping.close { () throws(VFIOError) in
            bitmap = try container.unmapReadingDirtyPages(iova, byteCount: byteCount, pageSize: pageSize, words)
        }
        return DirtyBitmap(iova, byteCount: byteCount, pageSize: pageSize, words: bitmap)
    }

    private func check(_ iova: IOVA, _ byteCount: UInt64, _ operation: String) throws(VFIOError) {
        let subject = "\(byteCount) bytes at IOVA \(iova)"
        guard byteCount > 0, iova.rawValue.isAligned(to: pageSize), byteCount.isAligned(to: pageSize) else {
            throw VFIOError(
                .misaligned, operation, subject, hint: "the range consists of pages of \(pageSize) bytes")
        }
        guard !iova.rawValue.addingReportingOverflow(byteCount - 1).overflow,
            (byteCount / pageSize + 63) / 64 * 8 <= min(limits.largestBitmapByteCount, UInt64(Int32.max))
        else {
            throw VFIOError(
                .outOfRange, operation, subject,
                hint: "a bitmap has at most \(limits.largestBitmapByteCount) bytes, with a bit for each page")
        }
    }

    /// Ends the tracking and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try container.stopDirtyTracking()
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        if isOpen { try? container.stopDirtyTracking() }
    }
}

extension AddressSpace {
    /// Starts to track the pages that devices write. The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    ///
    /// - Throws: `.unsupported` with an iommufd, where tracking belongs to a page table; `.noDevice` before the first
    ///   device; `.busy` while the address space is tracked already.
    public func startDirtyTracking() throws(VFIOError) -> DirtyTracking {
        try DirtyTracking(self, try requireContainer(for: ABI.Call.trackDirtyPages.operation(DirtyTracking.words)))
    }
}
