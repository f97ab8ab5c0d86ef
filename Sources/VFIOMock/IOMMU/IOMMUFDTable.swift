/// A hardware page table (HWPT) of an address space, or a nested (stage-1) one over another.
final class IOMMUFDTable: IOMMUFDObject, TranslationSpace {
    let ioas: IOAS
    /// Whether the kernel made it for a device attached to the address space; it is destroyed with the last such
    /// device.
    let isAutomatic: Bool
    /// The stage-2 page table of a nested one.
    let parent: IOMMUFDTable?
    /// The virtual IOMMU of a nested page table; it holds the stage-2 one.
    let guest: GuestIOMMU?
    var faultQueue: FaultQueueFile? { didSet { faultQueue?.users += 1 } }
    /// Whether it is for devices without an IOMMU: it only pins memory and reports physical addresses.
    let isNoIOMMU: Bool
    var isNestParent = false
    var isForPASIDs = false
    var canTrack = false
    private var isTracking = false
    private var dirtyPages: Set<UInt64> = []

    init(_ ioas: IOAS, isAutomatic: Bool, isNoIOMMU: Bool) {
        self.ioas = ioas
        self.isAutomatic = isAutomatic
        self.isNoIOMMU = isNoIOMMU
        parent = nil
        guest = nil
        super.init()
        holder.users += 1
    }

    /// Makes a nested one over a page table or in a virtual IOMMU.
    init(over parent: IOMMUFDTable, guest: GuestIOMMU? = nil) {
        ioas = parent.ioas
        isAutomatic = false
        isNoIOMMU = false
        self.parent = parent
        self.guest = guest
        super.init()
        holder.users += 1
    }

    /// The object that it references.
    private var holder: IOMMUFDObject {
        if let guest { guest } else if let parent { parent } else { ioas }
    }

    override func destroyed() {
        faultQueue?.users -= 1
        holder.users -= 1
        if parent == nil { ioas.removeTable(self) }
    }

    func translate(_ iova: UInt64) -> Translation? { ioas.translate(iova) }

    // MARK: Dirty tracking

    private static let pageSize: UInt64 = 4096

    func setTracking(_ isOn: Bool) {
        if isOn { dirtyPages = [] }
        isTracking = isOn
    }

    /// Records a write through this page table or a nested one.
    func noteWrite(at iova: UInt64, _ byteCount: Int) {
        if let parent { return parent.noteWrite(at: iova, byteCount) }
        guard isTracking, byteCount > 0 else { return }
        for page in iova / Self.pageSize...(iova + (UInt64(byteCount) - 1)) / Self.pageSize { dirtyPages.insert(page) }
    }

    /// The dirty pages of a range in order.
    func writtenPages(_ first: UInt64, _ last: UInt64) -> [UInt64] {
        dirtyPages.filter { $0 >= first / Self.pageSize && $0 <= last / Self.pageSize }.sorted()
            .map { $0 * Self.pageSize }
    }

    func forgetWrites(_ pages: [UInt64]) { dirtyPages.subtract(pages.map { $0 / Self.pageSize }) }
}
