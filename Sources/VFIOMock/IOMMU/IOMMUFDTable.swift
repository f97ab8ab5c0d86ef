/// A hardware page table: made from an address space, or a guest's over such a one.
final class IOMMUFDTable {
    let id: UInt32
    let ioas: IOAS
    /// The kernel made it for a device that was attached to the address space, and ends it with the last such device.
    let isAutomatic: Bool
    /// The page table below, if this is a guest's.
    let parent: IOMMUFDTable?
    /// The virtual IOMMU that a guest's is in; it then holds the page table below.
    let guest: GuestIOMMU?
    /// How many devices and PASIDs are attached.
    var deviceCount = 0
    /// Who is to hear of page faults.
    var faultQueue: FaultQueueFile?
    /// It is for devices without an IOMMU: it only keeps memory pinned, and tells where it is.
    let isUnprotected: Bool
    var isNestParent = false
    var isForPASIDs = false
    /// It was made to note which pages are written.
    var canTrack = false
    private var isTracking = false
    private var dirtyPages: Set<UInt64> = []

    init(
        id: UInt32, ioas: IOAS, isAutomatic: Bool, isUnprotected: Bool = false, parent: IOMMUFDTable? = nil,
        guest: GuestIOMMU? = nil
    ) {
        self.isUnprotected = isUnprotected
        self.id = id
        self.ioas = ioas
        self.isAutomatic = isAutomatic
        self.parent = parent
        self.guest = guest
    }

    // MARK: Written pages

    private static let pageSize: UInt64 = 4096

    func setTracking(_ isOn: Bool) {
        if isOn { dirtyPages = [] }
        isTracking = isOn
    }

    /// A device has written, by this page table or one above it.
    func noteWrite(at iova: UInt64, _ byteCount: Int) {
        if let parent { return parent.noteWrite(at: iova, byteCount) }
        guard isTracking, byteCount > 0 else { return }
        for page in iova / Self.pageSize...(iova + UInt64(byteCount) - 1) / Self.pageSize { dirtyPages.insert(page) }
    }

    /// The pages of a range that were written since they were last taken.
    func writtenPages(_ first: UInt64, _ last: UInt64, clears: Bool) -> [UInt64] {
        let found = dirtyPages.filter { $0 >= first / Self.pageSize && $0 <= last / Self.pageSize }
        if clears { dirtyPages.subtract(found) }
        return found.map { $0 * Self.pageSize }
    }
}
