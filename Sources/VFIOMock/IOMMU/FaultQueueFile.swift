/// A queue of page faults. The mock's IOMMU reports none, since its devices cannot ask for pages.
final class FaultQueueFile {
    let id: UInt32
    unowned let iommufd: OpenFile
    /// Its descriptor is open, and holds the object.
    var isOpen = true

    init(id: UInt32, iommufd: OpenFile) {
        self.id = id
        self.iommufd = iommufd
    }
}
