internal import CVFIO

/// What a region of a device is (`VFIO_DEVICE_GET_REGION_INFO`).
public struct RegionInfo: Sendable, Hashable {
    /// Which region this is.
    public let index: RegionIndex
    /// The size in bytes.
    public let byteCount: UInt64
    /// Whether the region can be read.
    public let isReadable: Bool
    /// Whether the region can be written.
    public let isWritable: Bool
    /// Whether any of the region can be mapped for the CPU.
    public let isMappable: Bool
    /// The parts that can be mapped, in bytes from the start of the region; all of it unless the driver says otherwise
    /// (`VFIO_REGION_INFO_CAP_SPARSE_MMAP`).
    public let mappableAreas: [Range<UInt64>]
    /// Whether a mapping may cover the MSI-X table (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    public let isMSIXTableMappable: Bool
    /// What a region beyond the fixed ones holds (`VFIO_REGION_INFO_CAP_TYPE`).
    public let type: TypeID?

    /// Where the region begins in the device's descriptor.
    let offset: UInt64

    /// A vendor's or a class's own number for the contents of a region.
    public struct TypeID: Sendable, Hashable {
        /// The type; the highest bit set means that the low 16 bits are a PCI vendor.
        public let type: UInt32
        /// The kind within the type.
        public let subtype: UInt32

        public init(type: UInt32, subtype: UInt32) {
            self.type = type
            self.subtype = subtype
        }

        private init(vendor: UInt16, _ subtype: UInt32) {
            self.init(type: CVFIO_REGION_TYPE_PCI_VENDOR_TYPE | UInt32(vendor), subtype: subtype)
        }

        /// The PCI vendor whose own kind of region it is; `nil` for the kinds of a class.
        public var vendor: UInt16? {
            guard type & CVFIO_REGION_TYPE_PCI_VENDOR_TYPE != 0 else { return nil }
            return UInt16(truncatingIfNeeded: type & CVFIO_REGION_TYPE_PCI_VENDOR_MASK)
        }

        /// The OpRegion of Intel's integrated graphics: a table of the firmware's.
        public static var intelGraphicsOpRegion: TypeID {
            TypeID(vendor: 0x8086, CVFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION)
        }
        /// Config space of the host bridge, for Intel's integrated graphics.
        public static var intelGraphicsHostBridge: TypeID {
            TypeID(vendor: 0x8086, CVFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG)
        }
        /// Config space of the LPC bridge, for Intel's integrated graphics.
        public static var intelGraphicsLPCBridge: TypeID {
            TypeID(vendor: 0x8086, CVFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG)
        }
        /// The monitor that a virtual GPU sees, as EDID.
        public static var graphicsEDID: TypeID {
            TypeID(type: CVFIO_REGION_TYPE_GFX, subtype: CVFIO_REGION_SUBTYPE_GFX_EDID)
        }
    }

    /// Reads the kernel's answer.
    init(_ answer: borrowing RequestBuffer, index: RegionIndex, subject: @autoclosure () -> String) throws(VFIOError) {
        let header = answer.header(cvfio_region_info.self)
        // File offsets are signed, so no region ends above; what is checked here need not be at each access.
        let (end, overflow) = header.offset.addingReportingOverflow(header.size)
        guard !overflow, end <= UInt64(Int64.max) else {
            throw VFIOError(
                .unexpectedAnswer, "read what the region is", subject(),
                hint: "\(header.size) bytes at offset \(header.offset) leave the device's file")
        }
        var areas: [Range<UInt64>]?
        var isMSIXTableMappable = false
        var type: TypeID?
        if header.flags & CVFIO_REGION_INFO_FLAG_CAPS != 0 {
            try CapabilityChain.walk(
                answer, from: header.cap_offset, headerSize: MemoryLayout<cvfio_region_info>.size, subject: subject()
            ) { (id, offset) throws(VFIOError) in
                switch id {
                case CVFIO_REGION_INFO_CAP_SPARSE_MMAP:
                    areas = try Self.areas(in: answer, at: offset, regionSize: header.size, subject: subject())
                case CVFIO_REGION_INFO_CAP_TYPE:
                    guard let capability = answer.load(cvfio_region_info_cap_type.self, at: offset) else {
                        throw CapabilityChain.truncated("region type", subject: subject())
                    }
                    type = TypeID(type: capability.type, subtype: capability.subtype)
                case CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE:
                    isMSIXTableMappable = true
                default:
                    // A newer kernel may tell more than this library knows of.
                    break
                }
            }
        }
        self.index = index
        self.byteCount = header.size
        self.isReadable = header.flags & CVFIO_REGION_INFO_FLAG_READ != 0
        self.isWritable = header.flags & CVFIO_REGION_INFO_FLAG_WRITE != 0
        self.isMappable = header.flags & CVFIO_REGION_INFO_FLAG_MMAP != 0
        self.mappableAreas = isMappable && header.size > 0 ? areas ?? [0..<header.size] : []
        self.isMSIXTableMappable = isMSIXTableMappable
        self.type = type
        self.offset = header.offset
    }

    private static func areas(
        in answer: borrowing RequestBuffer, at offset: Int, regionSize: UInt64, subject: @autoclosure () -> String
    ) throws(VFIOError) -> [Range<UInt64>] {
        typealias Header = cvfio_region_info_cap_sparse_mmap
        typealias Area = cvfio_region_sparse_mmap_area
        guard let header = answer.load(Header.self, at: offset) else {
            throw CapabilityChain.truncated("sparse mmap", subject: subject())
        }
        var areas: [Range<UInt64>] = []
        for index in 0..<Int(header.nr_areas) {
            let position = offset + MemoryLayout<Header>.size + index * MemoryLayout<Area>.size
            guard let area = answer.load(Area.self, at: position) else {
                throw CapabilityChain.truncated("sparse mmap", subject: subject())
            }
            guard area.size > 0 else { continue }
            guard area.offset < regionSize, area.size <= regionSize - area.offset else {
                throw VFIOError(
                    .unexpectedAnswer, "read the sparse mmap areas", subject(), hint: "an area leaves the region")
            }
            areas.append(area.offset..<(area.offset + area.size))
        }
        return areas
    }
}
