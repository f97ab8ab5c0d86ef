internal import CVFIO
internal import SystemPackage

/// A page table of the IOMMU's own, made from an address space: what is mapped there, devices attached to it reach
/// (HWPT, `IOMMU_HWPT_ALLOC`).
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

    let object: IOMMUFDObject
    /// What it was made for.
    public let options: Options

    /// The address space whose mappings it has.
    public var space: AddressSpace { object.space }

    /// Lets the hardware note which pages are written, from a clean state, or ends that
    /// (`IOMMU_HWPT_SET_DIRTY_TRACKING`).
    ///
    /// - Throws: `.unsupported` unless it was made with ``Options/dirtyTracking``.
    public func setDirtyTracking(_ isOn: Bool) throws(VFIOError) {
        let operation = "track dirty pages (IOMMU_HWPT_SET_DIRTY_TRACKING)"
        var request = ciommu_hwpt_set_dirty_tracking()
        request.size = UInt32(MemoryLayout<ciommu_hwpt_set_dirty_tracking>.size)
        request.flags = isOn ? CIOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0
        request.hwpt_id = object.id
        do throws(Errno) {
            _ = try object.file.kernel.control(
                object.file.descriptor, CIOMMU_HWPT_SET_DIRTY_TRACKING, with: &request)
        } catch {
            throw Self.refusal(error, operation)
        }
    }

    /// Which pages were written since the last question (`IOMMU_HWPT_GET_DIRTY_BITMAP`).
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
        let operation = "read dirty pages (IOMMU_HWPT_GET_DIRTY_BITMAP)"
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
        let bitmap = DirtyBitmapRequest(iova: iova.rawValue, byteCount: byteCount, pageSize: pageSize)
        var request = ciommu_hwpt_get_dirty_bitmap()
        request.size = UInt32(MemoryLayout<ciommu_hwpt_get_dirty_bitmap>.size)
        request.hwpt_id = object.id
        request.flags = keepsMarks ? CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0
        request.iova = iova.rawValue
        request.length = byteCount
        request.page_size = pageSize
        request.data = unsafe UInt64(UInt(bitPattern: bitmap.room.bytes.baseAddress))
        do throws(Errno) {
            _ = try object.file.kernel.control(object.file.descriptor, CIOMMU_HWPT_GET_DIRTY_BITMAP, with: &request)
        } catch {
            throw Self.refusal(error, operation)
        }
        return bitmap.bitmap
    }

    private static func refusal(_ errno: Errno, _ operation: String) -> VFIOError {
        let isLacking = errno == .notSupported || errno == .inappropriateIOCTLForDevice
        return VFIOError(
            isLacking ? .unsupported : .kernel, operation, "the page table", errno: errno,
            hint: isLacking ? "it was not made with dirtyTracking, or the kernel (Linux 6.7) lacks it" : nil)
    }

    /// Destroys the page table and reports what the kernel said.
    ///
    /// - Throws: `.inUse` while a device is attached: it is destroyed when the last one has left.
    public consuming func close() throws(VFIOError) { try object.close() }
}
