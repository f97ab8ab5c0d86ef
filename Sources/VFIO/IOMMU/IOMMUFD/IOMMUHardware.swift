internal import CVFIO

/// The type of the IOMMU behind a device, and its capabilities for that device.
/// The corresponding request is `IOMMU_GET_HW_INFO`.
public struct IOMMUHardware: Sendable, Hashable {
    /// The type of an IOMMU, with its properties.
    public enum Kind: Sendable, Hashable {
        /// The kernel does not report the type.
        case unknown
        /// Intel VT-d: its capability registers, and flags for errata.
        case intelVTD(capability: UInt64, extendedCapability: UInt64, flags: UInt32)
        /// Arm SMMUv3: its identification registers IDR0 to IDR5, IIDR and AIDR, and flags for errata.
        case armSMMUv3(identification: [UInt32], implementer: UInt32, architecture: UInt32, flags: UInt32)
        /// AMD: its extended feature registers.
        case amd(features: UInt64, features2: UInt64)
        /// An unrecognised type: the kernel's number for it, and its data.
        case other(type: UInt32, bytes: [UInt8])
    }

    /// A type of data that ``Device/iommuHardware(_:)`` asks for, by the kernel's number.
    public struct DataType: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let intelVTD = DataType(rawValue: 1)
        public static let armSMMUv3 = DataType(rawValue: 2)
        /// NVIDIA's extension of SMMUv3 on Tegra241, whose data are ``Kind/other(type:bytes:)``.
        public static let tegra241CMDQV = DataType(rawValue: 3)
        public static let amd = DataType(rawValue: 4)
    }

    /// The IOMMU's capabilities for the device.
    public struct Capabilities: OptionSet, Sendable, Hashable {
        public let rawValue: UInt64

        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// The IOMMU tracks which pages are written (``HardwarePageTable/Options/dirtyTracking``).
        public static let dirtyTracking = Capabilities(rawValue: 1 << 0)
        /// Pages of a PASID's address space can be executable.
        public static let pasidExecution = Capabilities(rawValue: 1 << 1)
        /// Pages of a PASID's address space can be privileged.
        public static let pasidPrivilege = Capabilities(rawValue: 1 << 2)
        /// The device cannot use ATS. Older kernels do not report this.
        public static let lacksATS = Capabilities(rawValue: 1 << 3)
    }

    public let kind: Kind
    public let capabilities: Capabilities
    /// The number of bits of the device's PASIDs; 0 without PASIDs.
    public let pasidBits: Int

    init(_ info: ABI.HardwareInfo) {
        capabilities = Capabilities(rawValue: info.capabilities)
        pasidBits = Int(info.pasidBits)
        let bytes = info.data
        let data = RequestBuffer(bytes)
        kind =
            switch info.type {
            case CIOMMU_HW_INFO_TYPE_NONE: .unknown
            case CIOMMU_HW_INFO_TYPE_INTEL_VTD where bytes.count >= MemoryLayout<ciommu_hw_info_vtd>.size:
                Self.intel(data.header())
            case CIOMMU_HW_INFO_TYPE_ARM_SMMUV3 where bytes.count >= MemoryLayout<ciommu_hw_info_arm_smmuv3>.size:
                Self.arm(data.header())
            case CIOMMU_HW_INFO_TYPE_AMD where bytes.count >= MemoryLayout<ciommu_hw_info_amd>.size:
                Self.amd(data.header())
            default: .other(type: info.type, bytes: bytes)
            }
    }

    private static func intel(_ info: ciommu_hw_info_vtd) -> Kind {
        .intelVTD(capability: info.cap_reg, extendedCapability: info.ecap_reg, flags: info.flags)
    }

    private static func arm(_ info: ciommu_hw_info_arm_smmuv3) -> Kind {
        let idr = info.idr
        return .armSMMUv3(
            identification: [idr.0, idr.1, idr.2, idr.3, idr.4, idr.5], implementer: info.iidr, architecture: info.aidr,
            flags: info.flags)
    }

    private static func amd(_ info: ciommu_hw_info_amd) -> Kind { .amd(features: info.efr, features2: info.efr2) }
}
