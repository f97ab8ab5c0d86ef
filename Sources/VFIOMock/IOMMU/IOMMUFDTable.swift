/// A hardware page table: made from an address space, or a guest's over such a one.
final class IOMMUFDTable: IOMMUFDObject, TranslationSpace {
    let ioas: IOAS
    /// The kernel made it for a device that was attached to the address space, and ends it with the last such device.
    let isAutomatic: Bool
    /// The page table below, if this is a guest's.
    let parent: IOMMUFDTable?
    /// The virtual IOMMU that a guest's is in; it then holds the page table below.
    let guest: GuestIOMMU?
    /// Who is to hear of page faults.
    var faultQueue: FaultQueueFile? { didSet { faultQueue?.users += 1 } }
    /// It is for devices without an IOMMU: it only keeps memory pinned, and tells where it is.
    let isNoIOMMU: Bool
    var isNestParent = false
    var isForPASIDs = false
    /// It was made to note which pages are written.
    var canTrack = false
    private var isTracking = false
    private var dirtyPages: Set<UInt64> = []

    /// One with an address space's mappings.
    init(_ ioas: IOAS, isAutomatic: Bool, isNoIOMMU: Bool) {
        self.ioas = ioas
        self.isAutomatic = isAutomatic
        self.isNoIOMMU = isNoIOMMU
        parent = nil
        guest = nil
        super.init()
        holder.users += 1
    }

    /// A guest's, over a page table or in a virtual IOMMU.
    init(over parent: IOMMUFDTable, guest: GuestIOMMU? = nil) {
        ioas = parent.ioas
        isAutomatic = false
        isNoIOMMU = false
        self.parent = parent
        self.guest = guest
        super.init()
        holder.users += 1
    }

    /// What it is made from.
    private var holder: IOMMUFDObject {
        if let guest { guest } else if let parent { parent } else { ioas }
    }

    override func destroyed() {
        faultQueue?.users -= 1
        holder.users -= 1
        if parent == nil { ioas.removeTable(self) }
    }

    func translate(_ iova: UInt64) -> Translation? { ioas.translate(iova) }

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

    /// The pages of a range that were written since they were last forgotten, in order.
    func writtenPages(_ first: UInt64, _ last: UInt64) -> [UInt64] {
        dirtyPages.filter { $0 >= first / Self.pageSize && $0 <= last / Self.pageSize }.sorted()
            .map { $0 * Self.pageSize }
    }

    func forgetWrites(_ pages: [UInt64]) { dirtyPages.subtract(pages.map { $0 / Self.pageSize }) }
}
