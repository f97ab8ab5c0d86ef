internal import CVFIO
internal import VFIO

/// A guest's configuration of a nested page table, in the format of its IOMMU.
///
/// Its addresses are guest physical addresses: the parent page table (`HardwarePageTable.Options.nestingParent`)
/// translates them.
public enum GuestTranslation: Sendable, Hashable {
    /// The options of a first-stage page table of Intel VT-d.
    public struct VTDOptions: OptionSet, Sendable, Hashable {
        public let rawValue: UInt64

        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// Supervisor requests are permitted.
        public static let supervisor = VTDOptions(rawValue: CIOMMU_VTD_S1_SRE)
        /// The extended accessed bit is set.
        public static let extendedAccessed = VTDOptions(rawValue: CIOMMU_VTD_S1_EAFE)
        /// Supervisor writes respect write protection.
        public static let writeProtection = VTDOptions(rawValue: CIOMMU_VTD_S1_WPE)
    }

    /// Intel VT-d: the address of the guest's first-stage page table, and its address width in bits.
    case intelVTD(table: UInt64, addressWidth: Int, options: VTDOptions)
    /// Arm SMMUv3: the first two double words of the guest's stream table entry.
    case armSMMUv3(UInt64, UInt64)
    /// AMD: the guest's device table entry.
    case amd(UInt64, UInt64, UInt64, UInt64)
    /// An unrecognised type: the kernel's number for it, and its data.
    case other(type: UInt32, data: [UInt8])

    /// The kernel's type number and data.
    var request: ABI.TypedData {
        switch self {
        case .intelVTD(let table, let addressWidth, let options):
            var data = ciommu_hwpt_vtd_s1()
            data.flags = options.rawValue
            data.pgtbl_addr = table
            data.addr_width = UInt32(clamping: addressWidth)
            return (CIOMMU_HWPT_DATA_VTD_S1, ABI.bytes([data]))
        case .armSMMUv3(let first, let second):
            return (CIOMMU_HWPT_DATA_ARM_SMMUV3, ABI.bytes([first.littleEndian, second.littleEndian]))
        case .amd(let first, let second, let third, let fourth):
            return (CIOMMU_HWPT_DATA_AMD_GUEST, ABI.bytes([first, second, third, fourth]))
        case .other(let type, let data): return (type, data)
        }
    }
}
