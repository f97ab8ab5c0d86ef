/// An IOMMU group with a device that is bound to vfio-pci.
final class VFIOGroup {
    let number: Int
    /// `false` for a group that VFIO has made up.
    var hasIOMMU = true
    /// The open file: there is at most one.
    var file: OpenFile?
    var container: Container?
    /// The iommufd that it has taken as its container.
    var iommufd: OpenFile?
    /// Open devices.
    var deviceCount = 0
    /// Devices that are bound to an iommufd by their own nodes.
    var nodeCount = 0
    /// The iommufd that owns the group's DMA, if one does.
    var owner: IOMMUFD?

    init(_ number: Int) { self.number = number }
}
