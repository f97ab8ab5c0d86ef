internal import CVFIO

/// The chain of capabilities behind an information structure.
struct CapabilityChain {
    private(set) var bytes: [UInt8] = []
    private var lastHeader: Int?
    /// What each capability begins on a multiple of, in bytes.
    private let alignment: Int

    init(alignment: Int = 8) { self.alignment = alignment }

    var isEmpty: Bool { bytes.isEmpty }

    /// Appends a capability.
    mutating func append(id: UInt16, version: UInt16 = 1, body: [UInt8]) {
        if let lastHeader { Self.store(&bytes, UInt32(bytes.count), at: lastHeader + 4) }
        lastHeader = bytes.count
        Self.store(&bytes, UInt32(id) | UInt32(version) << 16, at: bytes.count)
        Self.store(&bytes, UInt32(0), at: bytes.count)
        bytes += body
        while bytes.count % alignment != 0 { bytes.append(0) }
    }

    /// Appends what tells the IOVA ranges of type1.
    mutating func append(ranges: [ClosedRange<UInt64>]) {
        append(
            id: CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            body: Self.bytes([UInt32(ranges.count), UInt32(0)] + ranges.flatMap { [$0.lowerBound, $0.upperBound] }))
    }

    /// The chain as it stands at an offset: the links count from the start of the structure.
    func placed(at offset: Int) -> [UInt8] {
        var placed = bytes
        var header = 0
        while true {
            let next = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[header + 4 + $1]) << UInt32($1 * 8) }
            if next == 0 { return placed }
            Self.store(&placed, next + UInt32(offset), at: header + 4)
            header = Int(next)
        }
    }

    static func store(_ bytes: inout [UInt8], _ value: some FixedWidthInteger, at offset: Int) {
        while bytes.count < offset + value.bitWidth / 8 { bytes.append(0) }
        for index in 0..<value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
    }

    static func bytes(_ values: [any FixedWidthInteger]) -> [UInt8] {
        var bytes: [UInt8] = []
        for value in values { store(&bytes, value, at: bytes.count) }
        return bytes
    }
}
