internal import SystemPackage

/// Tracking of the pages that devices write through a type1 container, until this value is closed or deinitialized.
///
/// ```swift
/// let tracking = try space.startDirtyTracking()
/// let bitmap = try tracking.dirtyPages(of: buffer)
/// for range in bitmap.dirtyRanges { … }
/// ```
///
/// Unless all devices report to the kernel which pages they write, as mediated devices do, every mapped page counts as
/// dirty each time.
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

    /// The bytes per bit of the bitmap: the smallest page size, the only one that the kernel accepts.
    public var pageSize: UInt64 { limits.pageSizes[0] }

    /// Returns the pages of a range that may have been written since the last call
    /// (`VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP`). The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    ///
    /// - Parameters:
    ///   - iova: The first address.
    ///   - byteCount: The length in bytes. The range must cover each mapping that it overlaps.
    /// - Throws: `.misaligned`; `.outOfRange` for a range whose bitmap would be too long, or that covers only part of a
    ///   mapping.
    public func dirtyPages(from iova: IOVA, byteCount: UInt64) throws(VFIOError) -> DirtyBitmap {
        let words = "read dirty pages"
        try check(iova, byteCount, ABI.Call.trackDirtyPages.operation(words))
        let request = ABI.readDirtyPages(iova.rawValue, byteCount: byteCount, pageSize: pageSize)
        let bitmap = try request.perform(
            on: container, words, "IOVA \(iova)...\(IOVA(iova.rawValue + (byteCount - 1)))",
            refusals: [.invalidArgument: (.outOfRange, "the range may not begin or end inside a mapping")])
        return DirtyBitmap(iova, byteCount: byteCount, pageSize: pageSize, words: bitmap)
    }

    /// Returns the pages of a buffer that may have been written since the last call.
    /// The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    public func dirtyPages(of buffer: borrowing DMABuffer) throws(VFIOError) -> DirtyBitmap {
        try dirtyPages(from: buffer.iova, byteCount: UInt64(buffer.byteCount))
    }

    /// Returns the pages of a mapping that may have been written since the last call.
    /// The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    public func dirtyPages(of mapping: borrowing DMAMapping) throws(VFIOError) -> DirtyBitmap {
        try dirtyPages(from: mapping.iova, byteCount: mapping.byteCount)
    }

    /// Unmaps a mapping, and returns which of its pages were written until then, without a gap in time
    /// (`VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`). The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    ///
    /// The mapping is consumed even after an error, and its written pages are unknown: treat all of them as dirty. The
    /// memory is still mapped only if the kernel refused.
    ///
    /// - Throws: `.invalidArgument` for a mapping of another address space, `.outOfRange` for one whose bitmap would be
    ///   too long, `.kernel` if the kernel refused.
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
            byteCount / pageSize <= min(limits.largestBitmapByteCount, UInt64(Int32.max)) / 8 * 64
        else {
            throw VFIOError(
                .outOfRange, operation, subject,
                hint: "a bitmap has at most \(limits.largestBitmapByteCount) bytes, with a bit for each page")
        }
    }

    /// Stops the tracking and throws the kernel's error. The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try container.stopDirtyTracking()
    }

    deinit {
        // A deinit cannot throw; callers that need the error call close().
        if isOpen { try? container.stopDirtyTracking() }
    }
}

extension AddressSpace {
    /// Starts tracking of the pages that devices write. The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    ///
    /// - Throws: `.unsupported` with an iommufd, where tracking belongs to a page table; `.noDevice` before the first
    ///   device; `.busy` if the address space is already tracked.
    public func startDirtyTracking() throws(VFIOError) -> DirtyTracking {
        try DirtyTracking(self, try requireContainer(for: ABI.Call.trackDirtyPages.operation(DirtyTracking.words)))
    }
}
