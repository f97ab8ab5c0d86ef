internal import CVFIO

/// The chain of capabilities behind an information structure.
struct CapabilityChain {
    private(set) var bytes: [UInt8] = []
    private var lastHeader: Int?
    /// The alignment of each capability in bytes.
    private let alignment: Int

    init(alignment: Int = 8) { self.alignment = alignment }

    var isEmpty: Bool { bytes.isEmpty }

    mutating func append(id: UInt16, version: UInt16 = 1, body: [UInt8]) {
        if let lastHeader { bytes.set(lastHeader + 4, UInt32(bytes.count)) }
        lastHeader = bytes.count
        bytes += Self.bytes([UInt32(id) | UInt32(version) << 16, UInt32(0)]) + body
        while bytes.count % alignment != 0 { bytes.append(0) }
    }

    /// Appends the capability with the IOVA ranges of type1.
    mutating func append(ranges: [ClosedRange<UInt64>]) {
        append(
            id: CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            body: Self.bytes([UInt32(ranges.count), UInt32(0)] + ranges.flatMap { [$0.lowerBound, $0.upperBound] }))
    }

    /// The chain for an offset: its links count from the start of the structure.
    func placed(at offset: Int) -> [UInt8] {
        var placed = bytes
        var header = 0
        while true {
            let next = Int(bytes.integer(at: header + 4, 4))
            if next == 0 { return placed }
            placed.set(header + 4, UInt32(next + offset))
            header = next
        }
    }

    static func bytes(_ values: [any FixedWidthInteger]) -> [UInt8] { values.flatMap { $0.littleEndianBytes } }
}
