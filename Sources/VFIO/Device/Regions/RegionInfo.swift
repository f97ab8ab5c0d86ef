internal import CVFIO

/// The properties of a device's region. The corresponding request is `VFIO_DEVICE_GET_REGION_INFO`.
public struct RegionInfo: Sendable, Hashable {
    /// The index of the region.
    public let index: RegionIndex
    /// The size in bytes.
    public let byteCount: UInt64
    /// Whether the region can be read.
    public let isReadable: Bool
    /// Whether the region can be written.
    public let isWritable: Bool
    /// Whether any of the region can be mapped for the CPU, which takes that it can be read.
    public let isMappable: Bool
    /// The parts that can be mapped, in bytes from the start of the region; all of it unless the driver reports
    /// otherwise (`VFIO_REGION_INFO_CAP_SPARSE_MMAP`).
    public let mappableAreas: [Range<UInt64>]
    /// Whether a mapping may cover the MSI-X table (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    public let isMSIXTableMappable: Bool
    /// The type of a region beyond the fixed ones (`VFIO_REGION_INFO_CAP_TYPE`).
    public let type: TypeID?

    /// The start of the region in the device's descriptor.
    let offset: UInt64

    /// The type of a region's contents, as defined by a vendor or for a class of devices.
    public struct TypeID: Sendable, Hashable {
        /// The type; the highest bit set means that the low 16 bits are a PCI vendor.
        public let type: UInt32
        /// The subtype within the type.
        public let subtype: UInt32

        public init(type: UInt32, subtype: UInt32) {
            self.type = type
            self.subtype = subtype
        }

        private init(vendor: UInt16, _ subtype: UInt32) {
            self.init(type: CVFIO_REGION_TYPE_PCI_VENDOR_TYPE | UInt32(vendor), subtype: subtype)
        }

        /// The PCI vendor that defines the type; `nil` for the type of a class.
        public var vendor: UInt16? {
            guard type & CVFIO_REGION_TYPE_PCI_VENDOR_TYPE != 0 else { return nil }
            return UInt16(truncatingIfNeeded: type & CVFIO_REGION_TYPE_PCI_VENDOR_MASK)
        }

        /// The OpRegion of Intel's integrated graphics: a table of the firmware.
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
        /// The EDID of the monitor of a virtual GPU.
        public static var graphicsEDID: TypeID {
            TypeID(type: CVFIO_REGION_TYPE_GFX, subtype: CVFIO_REGION_SUBTYPE_GFX_EDID)
        }
    }

    /// Decodes the kernel's answer.
    init(_ answer: InfoAnswer<cvfio_region_info>, index: RegionIndex, subject: String) throws(VFIOError) {
        let header = answer.structure
        // File offsets are signed, so no region ends above. Checked here once instead of at each access.
        let (end, overflow) = header.offset.addingReportingOverflow(header.size)
        guard !overflow, end <= UInt64(Int64.max) else {
            throw VFIOError(
                .unexpectedAnswer, "read what the region is", subject,
                hint: "\(header.size) bytes at offset \(header.offset) leave the device's file")
        }
        let areas = try Self.areas(answer, subject)
        self.index = index
        byteCount = header.size
        isReadable = header.flags & CVFIO_REGION_INFO_FLAG_READ != 0
        isWritable = header.flags & CVFIO_REGION_INFO_FLAG_WRITE != 0
        // A mapping without access to read is of no use: the first read would end the process.
        isMappable = isReadable && header.flags & CVFIO_REGION_INFO_FLAG_MMAP != 0
        mappableAreas = isMappable && header.size > 0 ? areas ?? [0..<header.size] : []
        isMSIXTableMappable = answer.has(CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE)
        type = try answer.capability(
            CVFIO_REGION_INFO_CAP_TYPE, "region type", as: cvfio_region_info_cap_type.self
        ).map { TypeID(type: $0.type, subtype: $0.subtype) }
        offset = header.offset
    }

    private static func areas(
        _ answer: InfoAnswer<cvfio_region_info>, _ subject: String
    ) throws(VFIOError) -> [Range<UInt64>]? {
        typealias Header = cvfio_region_info_cap_sparse_mmap
        let (id, name) = (CVFIO_REGION_INFO_CAP_SPARSE_MMAP, "sparse mmap")
        guard let header: Header = try answer.capability(id, name) else { return nil }
        let areas: [cvfio_region_sparse_mmap_area] = try answer.elements(
            of: id, name, at: MemoryLayout<Header>.size, count: Int(header.nr_areas))
        let regionSize = answer.structure.size
        return try areas.filter { $0.size > 0 }.map { (area) throws(VFIOError) in
            guard area.offset < regionSize, area.size <= regionSize - area.offset else {
                throw VFIOError(
                    .unexpectedAnswer, "read the sparse mmap areas", subject, hint: "an area leaves the region")
            }
            return area.offset..<(area.offset + area.size)
        }
    }
}
