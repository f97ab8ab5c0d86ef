/// An open `/dev/vfio/vfio`.
final class Container {
    var groups: [VFIOGroup] = []
    /// Set by `VFIO_SET_IOMMU`, until the last group leaves.
    var iommu: Type1IOMMU?
    /// `VFIO_SET_IOMMU` has been told that there is no IOMMU.
    var hasChosenNone = false

    var hasDriver: Bool { iommu != nil || hasChosenNone }
    /// Its groups have no IOMMU.
    var isUnprotected: Bool { groups.first.map { !$0.hasIOMMU } ?? false }
}
