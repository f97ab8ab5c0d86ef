internal import CVFIO

/// A region of a PCI device, by its number in VFIO.
public struct RegionIndex: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static var bar0: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR0_REGION_INDEX) }
    public static var bar1: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR1_REGION_INDEX) }
    public static var bar2: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR2_REGION_INDEX) }
    public static var bar3: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR3_REGION_INDEX) }
    public static var bar4: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR4_REGION_INDEX) }
    public static var bar5: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_BAR5_REGION_INDEX) }
    /// The expansion ROM.
    public static var rom: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_ROM_REGION_INDEX) }
    /// The configuration space. Use ``Device/config``, which handles the side effects of its registers.
    public static var config: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_CONFIG_REGION_INDEX) }
    /// The legacy VGA ranges.
    public static var vga: RegionIndex { RegionIndex(rawValue: CVFIO_PCI_VGA_REGION_INDEX) }

    /// Returns the BAR with a number from 0 to 5; `nil` for any other number.
    public static func bar(_ number: Int) -> RegionIndex? {
        (0...5).contains(number) ? RegionIndex(rawValue: CVFIO_PCI_BAR0_REGION_INDEX + UInt32(number)) : nil
    }

    /// Whether this is one of the six BARs.
    public var isBAR: Bool { rawValue <= CVFIO_PCI_BAR5_REGION_INDEX }
}

extension RegionIndex: CustomStringConvertible {
    public var description: String {
        switch self {
        case .rom: "the expansion ROM"
        case .config: "config space"
        case .vga: "the VGA region"
        default: isBAR ? "BAR \(rawValue)" : "region \(rawValue)"
        }
    }
}
