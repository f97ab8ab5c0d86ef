import SystemPackage
import VFIO

final class IOAS: IOMMUFDObject, MappingSpace {
    struct Area: IOVAArea {
        let iova: UInt64
        let byteCount: UInt64
        let isReadable: Bool
        let isWritable: Bool
        let source: PageSource
        /// Its offset in the source in bytes.
        let sourceOffset: UInt64
    }

    struct Piece {
        let source: PageSource
        let offset: UInt64
        let byteCount: UInt64
    }

    private unowned let system: SystemIOMMU
    private let iommu: MockIOMMU
    private(set) var list = AreaList<Area>()
    /// Ranges that devices must not reserve (`IOMMU_IOAS_ALLOW_IOVAS`).
    private(set) var allowed: [ClosedRange<UInt64>] = []
    /// Its page tables. Without one, pages are not pinned and nothing is reserved.
    private(set) var tables: [IOMMUFDTable] = []
    /// The number of page tables for devices with an IOMMU, which limit what can be mapped.
    private(set) var translatingTableCount = 0
    /// Whether the first table, which pins the memory, is for devices without an IOMMU.
    private(set) var isNoIOMMU = false
    private(set) var deviceCount = 0
    /// The number of mediated devices attached to it.
    var accessCount = 0 { didSet { users += accessCount - oldValue } }
    private(set) var combinesPages = true

    init(_ system: SystemIOMMU) {
        self.system = system
        iommu = system.configuration
        super.init()
        system.add(self)
    }

    override func destroyed() {
        _ = try? unmap(0, .max)
        system.remove(self)
    }

    /// The alignment of mappings in bytes.
    var alignment: UInt64 { !tables.isEmpty ? iommu.granule : combinesPages && accessCount == 0 ? 1 : 4096 }

    /// The ranges that no mapping may touch: those that devices reserve, and those out of the page table's reach.
    private var reserved: [ClosedRange<UInt64>] {
        var ranges = deviceCount > 0 ? iommu.reservedRanges : []
        if translatingTableCount > 0, iommu.lastAddress < .max { ranges.append(iommu.lastAddress + 1...UInt64.max) }
        return ranges.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// The ranges of `IOMMU_IOAS_IOVA_RANGES`.
    var usableRanges: [ClosedRange<UInt64>] { reserved.gaps(upTo: .max) }

    func setAllowed(_ ranges: [ClosedRange<UInt64>]) throws(Errno) {
        if ranges.contains(where: { range in reserved.contains { $0.overlaps(range) } }) { throw .addressInUse }
        allowed = ranges
    }

    func setCombinesPages(_ isOn: Bool) throws(Errno) {
        if !isOn && combinesPages {
            if !tables.isEmpty && !list.areas.isEmpty { throw .invalidArgument }
            try checkAlignment(4096)
        }
        combinesPages = isOn
    }

    private func checkAlignment(_ size: UInt64) throws(Errno) {
        if list.areas.contains(where: { ($0.iova | $0.byteCount | $0.source.alignmentHint) & (size - 1) != 0 }) {
            throw .addressInUse
        }
    }

    // MARK: Page tables and devices

    /// Adds a page table: with the first one pages are pinned, and mappings aligned.
    func addTable(_ table: IOMMUFDTable) throws(Errno) {
        if !table.isNoIOMMU, translatingTableCount == 0 {
            let beyond = iommu.lastAddress < .max ? iommu.lastAddress + 1 : nil
            if let beyond, list.touches(beyond, .max) || allowed.contains(where: { $0.upperBound >= beyond }) {
                throw .addressInUse
            }
        }
        if tables.isEmpty {
            try checkAlignment(iommu.granule)
            try pin(list.areas.map(\.source))
            isNoIOMMU = table.isNoIOMMU
        }
        tables.append(table)
        if !table.isNoIOMMU { translatingTableCount += 1 }
    }

    func removeTable(_ table: IOMMUFDTable) {
        tables.removeAll { $0 === table }
        if !table.isNoIOMMU { translatingTableCount -= 1 }
        // The memory passes to the kind of table that is left.
        isNoIOMMU =
            !tables.isEmpty && (translatingTableCount == 0 || isNoIOMMU && tables.count > translatingTableCount)
        if tables.isEmpty { for area in list.areas { area.source.unpin() } }
    }

    /// Pins all of the sources, or none.
    private func pin(_ sources: [PageSource]) throws(Errno) {
        for (index, source) in sources.enumerated() {
            do throws(Errno) {
                try source.pin()
            } catch {
                for source in sources[..<index] { source.unpin() }
                throw error
            }
        }
    }

    /// Adds a device with the ranges that it reserves.
    func addDevice() throws(Errno) {
        if deviceCount == 0 {
            for range in iommu.reservedRanges
            where list.touches(range.lowerBound, range.upperBound) || allowed.contains(where: { $0.overlaps(range) }) {
                throw .addressInUse
            }
        }
        deviceCount += 1
    }

    func removeDevice() { deviceCount -= 1 }

    // MARK: Mapping

    /// Maps pieces one after the other, at a given address or one that it finds, and returns the address.
    func map(
        _ pieces: [Piece], byteCount: UInt64, at fixed: UInt64?, isReadable: Bool, isWritable: Bool
    ) throws(Errno) -> UInt64 {
        if byteCount == 0 || byteCount & (alignment - 1) != 0 { throw .invalidArgument }
        let iova: UInt64
        if let fixed {
            try check(fixed, byteCount)
            iova = fixed
        } else {
            iova = try find(byteCount, near: pieces[0].source.alignmentHint + pieces[0].offset)
        }
        if isWritable && pieces.contains(where: { !$0.source.isWritable }) { throw .notPermitted }
        if pieces.contains(where: { ($0.source.alignmentHint + $0.offset) % 4096 & (alignment - 1) != 0 }) {
            throw .invalidArgument
        }
        if !tables.isEmpty { try pin(pieces.map(\.source)) }
        var next = iova
        for piece in pieces {
            piece.source.addArea()
            list.insert(
                Area(
                    iova: next, byteCount: piece.byteCount, isReadable: isReadable, isWritable: isWritable,
                    source: piece.source, sourceOffset: piece.offset))
            next &+= piece.byteCount
        }
        return iova
    }

    private func check(_ iova: UInt64, _ byteCount: UInt64) throws(Errno) {
        if iova & (alignment - 1) != 0 { throw .invalidArgument }
        let last = try iova.last(of: byteCount)
        if reserved.contains(where: { $0.overlaps(iova...last) }) { throw .invalidArgument }
        if list.touches(iova, last) { throw .fileExists }
    }

    /// Returns the first free range, aligned for large pages; never 0.
    private func find(_ byteCount: UInt64, near address: UInt64) throws(Errno) -> UInt64 {
        if byteCount >= .max / 2 { throw .overflow }
        var best = byteCount <= 1 ? 1 : UInt64(1) << UInt64(64 - (byteCount - 1).leadingZeroBitCount)
        if address != 0 { best = min(best, 1 << UInt64(address.trailingZeroBitCount)) }
        best = min(best, 2 << 20)
        if best < alignment { throw .invalidArgument }
        let wanted = allowed.isEmpty ? [4096...UInt64.max - 4096] : allowed
        for range in wanted {
            var start = max(range.lowerBound, 4096)
            while start <= range.upperBound {
                let (raised, wraps) = start.addingReportingOverflow(best - 1)
                if wraps { break }
                let candidate = raised & ~(best - 1) | address % 4096
                let (last, overflows) = candidate.addingReportingOverflow(byteCount - 1)
                if overflows || last > range.upperBound { break }
                if let taken = reserved.first(where: { $0.overlaps(candidate...last) }) {
                    if taken.upperBound == .max { break }
                    start = taken.upperBound + 1
                } else if let taken = list.indices(touching: candidate, last).last {
                    if list.areas[taken].last == .max { break }
                    start = list.areas[taken].last + 1
                } else {
                    return candidate
                }
            }
        }
        throw .noSpace
    }

    /// Returns the pieces of a range that must be mapped completely.
    func pieces(_ iova: UInt64, _ byteCount: UInt64) throws(Errno) -> [Piece] {
        let last = try iova.last(of: byteCount)
        var pieces: [Piece] = []
        var next = iova
        for area in list.areas[list.indices(touching: iova, last)] {
            guard area.iova <= next else { throw .noSuchFileOrDirectory }
            let end = min(last, area.last)
            pieces.append(
                Piece(source: area.source, offset: area.sourceOffset + (next - area.iova), byteCount: end - next + 1))
            if end == last { return pieces }
            next = end + 1
        }
        throw .noSuchFileOrDirectory
    }

    /// Unmaps the mappings in a range and returns their bytes. A mapping that is only partially inside ends it with
    /// `ENOENT`.
    func unmap(_ first: UInt64, _ last: UInt64) throws(Errno) -> UInt64 {
        var byteCount: UInt64 = 0
        try unmap(first, last, counting: &byteCount)
        return byteCount
    }

    /// Unmaps, and counts what it has unmapped also when it fails.
    func unmap(_ first: UInt64, _ last: UInt64, counting byteCount: inout UInt64) throws(Errno) {
        var start = first
        while let index = list.indices(touching: start, last).first {
            let area = list.areas[index]
            if area.iova < start || area.last > last { throw .noSuchFileOrDirectory }
            list.remove(index..<index + 1)
            if !tables.isEmpty { area.source.unpin() }
            area.source.removeArea()
            byteCount &+= area.byteCount
            if area.last >= last { break }
            start = area.last + 1
        }
    }

    /// Splits the mapping that continues after an address.
    func cut(after address: UInt64) throws(Errno) {
        guard let index = list.indices(touching: address, address).first else { return }
        let area = list.areas[index]
        if address == area.iova || address == area.last { return }
        if case .dmaBuf = area.source.kind { throw .notSupported }
        if (address + 1) & (alignment - 1) != 0 { throw .invalidArgument }
        let head = address - area.iova + 1
        list.remove(index..<index + 1)
        for (iova, byteCount, offset) in [
            (area.iova, head, area.sourceOffset), (address + 1, area.byteCount - head, area.sourceOffset + head),
        ] {
            list.insert(
                Area(
                    iova: iova, byteCount: byteCount, isReadable: area.isReadable, isWritable: area.isWritable,
                    source: area.source, sourceOffset: offset))
        }
        area.source.addArea()
        if !tables.isEmpty { area.source.pinAgain() }
    }

    // MARK: Translation

    func translate(_ iova: UInt64) -> Translation? {
        guard !tables.isEmpty, let area = list.area(at: iova), !area.source.isRevoked,
            let segment = area.source.pinned.segment(at: iova - area.iova + area.sourceOffset)
        else { return nil }
        let offset = iova - area.iova + area.sourceOffset - segment.offset
        return Translation(
            isReadable: area.isReadable, isWritable: area.isWritable, backing: segment.backing, offset: offset,
            byteCount: min(segment.byteCount - offset, area.last - iova + 1))
    }

    var mappings: [MockMapping] {
        list.areas.map { area in
            var target = MockMapping.Target.memory
            if case .dmaBuf(let buffer, _, _) = area.source.kind {
                if !area.source.isRevoked, let exporter = buffer.exporter {
                    target = .bar(buffer.ranges[0].bar, of: exporter.address)
                } else {
                    target = .revoked
                }
            }
            return MockMapping(
                iova: .init(area.iova), byteCount: area.byteCount, isReadable: area.isReadable,
                isWritable: area.isWritable, target: target)
        }
    }

    var pinnedSegments: [PinnedMemory.Segment] { list.areas.flatMap(\.source.pinned.segments) }

    var pinnedByteCount: UInt64 {
        // Without a page table nothing is pinned. While the first one is made, what is pinned so far counts.
        var sources: [ObjectIdentifier: UInt64] = [:]
        for area in list.areas { sources[ObjectIdentifier(area.source)] = area.source.pinned.accountedByteCount }
        return sources.values.reduce(0, +)
    }
}
