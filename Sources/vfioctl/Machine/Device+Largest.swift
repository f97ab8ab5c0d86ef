import VFIO

extension Device {
    /// The largest BAR that can be mapped, of a page or more.
    func largestMappableBAR() throws(VFIOError) -> RegionInfo? {
        var largest: RegionInfo?
        for region in try regions() where region.index.isBAR && region.isMappable && region.byteCount >= 4096 {
            if region.byteCount > largest?.byteCount ?? 0 { largest = region }
        }
        return largest
    }
}
