/// The CPU mapping of a region that ``Device``'s `withRegisters` keeps between calls.
///
/// A class, so that the device's state can hold several; register accesses do not go through it.
final class RegisterMapping: Sendable {
    private let mapping: RegionMapping
    /// The part of the region that is accessed by plain loads and stores: the largest mappable area.
    let area: Range<UInt64>

    /// Maps the region's largest area; `nil` if there is none of use, or the kernel refuses to map it.
    init?(_ region: RegionInfo, of core: DeviceCore) {
        guard region.isReadable, region.isWritable,
            let largest = region.mappableAreas.max(by: { $0.count < $1.count }),
            largest.lowerBound.isAligned(to: UInt64(core.kernel.pageSize)),
            let mapping = try? RegionMapping.map(region, largest, of: core, lease: nil)
        else { return nil }
        self.mapping = mapping
        // Rounded down to a multiple of every width, so that an aligned access that begins inside also ends inside.
        area = largest.lowerBound..<(largest.upperBound & ~7)
    }

    /// The address of the area's first byte.
    var base: UnsafeMutableRawPointer { unsafe mapping.bytes.baseAddress! }
}
