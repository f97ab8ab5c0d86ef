/// An open `/dev/vfio/vfio`.
final class Container {
    var groups: [VFIOGroup] = []
    /// Set by `VFIO_SET_IOMMU`, until the last group leaves.
    var iommu: Type1IOMMU?
}
