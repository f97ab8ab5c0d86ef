/// The CPU mapping of a region that `withRegisters` of ``Device`` keeps from one call to the next.
///
/// A class, so that the device's state can hold several; the registers themselves are reached without it.
final class RegisterMapping: Sendable {
    private let mapping: RegionMapping
    /// The part of the region that is reached by plain loads and stores: the largest that can be mapped.
    let area: Range<UInt64>

    init(_ region: RegionInfo, of core: DeviceCore) throws(VFIOError) {
        // An empty region, or one that cannot be mapped, has no area; the caller has looked.
        area = region.mappableAreas.max { $0.count < $1.count } ?? 0..<0
        mapping = try RegionMapping.map(region, area, of: core, lease: nil)
    }

    /// The address of the area's first byte.
    var base: UnsafeMutableRawPointer { unsafe mapping.bytes.baseAddress! }
}
