import SystemPackage

extension UInt64 {
    /// The last address of a range that begins here. `EINVAL` for an empty range, `wraps` for one that wraps around.
    func last(of byteCount: UInt64, wraps: Errno = .overflow) throws(Errno) -> UInt64 {
        if byteCount == 0 { throw .invalidArgument }
        let (last, overflow) = addingReportingOverflow(byteCount - 1)
        if overflow { throw wraps }
        return last
    }
}

extension [ClosedRange<UInt64>] {
    /// The gaps between ranges that are in order, up to a last address.
    func gaps(upTo last: UInt64) -> [ClosedRange<UInt64>] {
        var gaps: [ClosedRange<UInt64>] = []
        var start: UInt64 = 0
        for range in self where range.upperBound >= start && range.lowerBound <= last {
            if range.lowerBound > start { gaps.append(start...range.lowerBound - 1) }
            if range.upperBound >= last { return gaps }
            start = range.upperBound + 1
        }
        return gaps + [start...last]
    }
}

/// A mapped range of IOVA.
protocol IOVAArea {
    var iova: UInt64 { get }
    /// Not 0; the range does not wrap around.
    var byteCount: UInt64 { get }
}

extension IOVAArea {
    var last: UInt64 { iova + (byteCount - 1) }
}

/// Disjoint areas in the order of their addresses.
struct AreaList<Area: IOVAArea> {
    private(set) var areas: [Area] = []

    /// The index of the first area that ends at an address or after it.
    func firstIndex(endingFrom address: UInt64) -> Int {
        areas.partitionIndex(after: { $0.last < address })
    }

    /// The areas that touch a range, by index.
    func indices(touching first: UInt64, _ last: UInt64) -> Range<Int> {
        let start = firstIndex(endingFrom: first)
        var end = start
        while end < areas.count, areas[end].iova <= last { end += 1 }
        return start..<end
    }

    func touches(_ first: UInt64, _ last: UInt64) -> Bool {
        let index = firstIndex(endingFrom: first)
        return index < areas.count && areas[index].iova <= last
    }

    func area(at address: UInt64) -> Area? {
        let index = firstIndex(endingFrom: address)
        return index < areas.count && areas[index].iova <= address ? areas[index] : nil
    }

    mutating func insert(_ area: Area) { areas.insert(area, at: firstIndex(endingFrom: area.iova)) }

    mutating func remove(_ range: Range<Int>) { areas.removeSubrange(range) }
}
