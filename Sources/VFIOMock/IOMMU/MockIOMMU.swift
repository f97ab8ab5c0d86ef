/// What the machine's IOMMU can do.
///
/// The defaults are those of QEMU's `intel-iommu`, which the project's lab uses.
///
/// One with nesting, for tests of a virtual machine monitor:
/// ```swift
/// var iommu = MockIOMMU()
/// iommu.make = .armSMMUv3
/// iommu.nests = true
/// let machine = MockMachine(iommu: iommu)
/// ```
public struct MockIOMMU: Sendable, Hashable {
    /// Whose IOMMU it is.
    public enum Make: Sendable, Hashable {
        /// Intel VT-d. It nests page tables, and has no virtual IOMMUs.
        case intelVTD
        /// Arm SMMUv3. It nests page tables in virtual IOMMUs only, and reports events for them.
        case armSMMUv3
    }

    /// How many bits an IOVA has: 39 makes 0x7f_ffff_ffff the last one.
    public var addressWidth: Int
    /// The page sizes, one bit each. The smallest is what mappings are aligned to.
    public var pageSizes: UInt64
    /// IOVA ranges that no mapping may touch: by default the window that x86 takes for message signalled interrupts.
    public var reservedRanges: [ClosedRange<UInt64>]
    /// How many mappings one type1 container takes (the parameter `dma_entry_limit` of `vfio_iommu_type1`).
    public var mappingLimit: Int
    /// Whose it is: what it tells of itself, and which page tables of guests it takes.
    public var make = Make.intelVTD
    /// Whether it takes page tables of guests. It does not walk them: what they lead to is as if they changed no address.
    public var nests = false
    /// Whether it can note which pages are written.
    public var tracksDirtyPages = false
    /// How many bits the PASIDs of its devices have; 0 for none.
    public var pasidBits = 0
    /// Whether devices can ask for pages (``MockMachine/requestPage(at:_:pasid:by:)``).
    public var takesPageRequests = false

    public init(
        addressWidth: Int = 39,
        pageSizes: UInt64 = 0x4020_1000,
        reservedRanges: [ClosedRange<UInt64>] = [0xfee0_0000...0xfeef_ffff],
        mappingLimit: Int = 65535
    ) {
        precondition((32...64).contains(addressWidth), "an IOVA has 32 to 64 bits")
        precondition(pageSizes != 0 && pageSizes & 0xfff == 0, "pages have 4096 bytes or more")
        self.addressWidth = addressWidth
        self.pageSizes = pageSizes
        self.reservedRanges = reservedRanges.sorted { $0.lowerBound < $1.lowerBound }
        self.mappingLimit = mappingLimit
    }

    /// Intel's capability register, as QEMU sets it up: second-level tables of 39 bits, caching mode.
    var capabilityRegister: UInt64 { 0xd2_008c_2226_0286 }
    /// Intel's extended capability register: interrupt remapping and queued invalidation.
    var extendedCapabilityRegister: UInt64 { 0xf0_0f4a }

    /// The last IOVA that fits the address width.
    var lastAddress: UInt64 { UInt64.max >> UInt64(64 - addressWidth) }

    /// The smallest page size in bytes.
    var granule: UInt64 { 1 << UInt64(pageSizes.trailingZeroBitCount) }

    /// Where mappings may be.
    var usableRanges: [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        var start: UInt64 = 0
        for reserved in reservedRanges where reserved.upperBound >= start && reserved.lowerBound <= lastAddress {
            if reserved.lowerBound > start { ranges.append(start...reserved.lowerBound - 1) }
            if reserved.upperBound >= lastAddress { return ranges }
            start = reserved.upperBound + 1
        }
        ranges.append(start...lastAddress)
        return ranges
    }
}
