/// The CPU mapping of a region that `withRegisters` of ``Device`` keeps from one call to the next.
///
/// A class, so that the device's state can hold several; the registers themselves are reached without it.
final class RegisterMapping: Sendable {
    private let mapping: RegionMapping
    /// The part of the region that is reached by plain loads and stores: the largest that can be mapped.
    let area: Range<UInt64>

    /// Maps the region's largest area; `nil` when there is none that serves, or the kernel does not let it be mapped.
    init?(_ region: RegionInfo, of core: DeviceCore) {
        guard region.isReadable, region.isWritable,
            let largest = region.mappableAreas.max(by: { $0.count < $1.count }),
            largest.lowerBound.isAligned(to: UInt64(core.kernel.pageSize)),
            let mapping = try? RegionMapping.map(region, largest, of: core, lease: nil)
        else { return nil }
        self.mapping = mapping
        // Ends at a multiple of every width, so that an aligned access that begins inside does not end outside.
        area = largest.lowerBound..<(largest.upperBound & ~7)
    }

    /// The address of the area's first byte.
    var base: UnsafeMutableRawPointer { unsafe mapping.bytes.baseAddress! }
}
