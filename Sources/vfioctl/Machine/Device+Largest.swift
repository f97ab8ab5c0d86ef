import VFIO

extension Device {
    /// The largest BAR that can be mapped, of a page or more.
    ///
    /// - Parameter pageSize: In bytes.
    func largestMappableBAR(ofAtLeast pageSize: Int) throws(VFIOError) -> RegionInfo? {
        var largest: RegionInfo?
        for region in try regions() where region.index.isBAR && region.isMappable {
            if region.byteCount >= UInt64(pageSize), region.byteCount > largest?.byteCount ?? 0 { largest = region }
        }
        return largest
    }
}
