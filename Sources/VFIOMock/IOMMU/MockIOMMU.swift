/// The configuration of the machine's IOMMU.
///
/// The defaults are those of QEMU's `intel-iommu`. One with nesting, for tests of a virtual machine monitor:
/// ```swift
/// var iommu = MockIOMMU()
/// iommu.make = .armSMMUv3
/// iommu.nests = true
/// let machine = MockMachine(iommu: iommu)
/// ```
public struct MockIOMMU: Sendable, Hashable {
    /// The type of an IOMMU.
    public enum Make: Sendable, Hashable {
        /// Intel VT-d. It nests page tables, and has no virtual IOMMUs.
        case intelVTD
        /// Arm SMMUv3. It nests page tables in virtual IOMMUs only, and reports events for them.
        case armSMMUv3
    }

    /// The width of an IOVA in bits: with 39 the last one is 0x7f_ffff_ffff.
    public var addressWidth: Int
    /// The page sizes, one bit each. Mappings are aligned to the smallest.
    public var pageSizes: UInt64
    /// IOVA ranges that no mapping may touch: by default the MSI window of x86.
    public var reservedRanges: [ClosedRange<UInt64>]
    /// The maximum number of mappings of a type1 container (the parameter `dma_entry_limit` of `vfio_iommu_type1`).
    public var mappingLimit: Int
    /// The type: what the IOMMU reports about itself, and which nested page tables it accepts.
    public var make = Make.intelVTD
    /// Whether it accepts nested (stage-1) page tables. They are not walked: they act as an identity mapping.
    public var nests = false
    /// Whether it supports dirty tracking.
    public var tracksDirtyPages = false
    /// The width of its devices' PASIDs in bits; 0 for none.
    public var pasidBits = 0
    /// Whether devices can make page requests (``MockMachine/requestPage(at:_:pasid:by:)``).
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

    /// Intel's capability register as in QEMU: second-level tables of 39 bits, caching mode.
    var capabilityRegister: UInt64 { 0xd2_008c_2226_0286 }
    /// Intel's extended capability register: interrupt remapping and queued invalidation.
    var extendedCapabilityRegister: UInt64 { 0xf0_0f4a }

    var lastAddress: UInt64 { UInt64.max >> UInt64(64 - addressWidth) }

    /// The smallest page size in bytes.
    var granule: UInt64 { 1 << UInt64(pageSizes.trailingZeroBitCount) }

    var usableRanges: [ClosedRange<UInt64>] { reservedRanges.gaps(upTo: lastAddress) }
}
