/// A range of IOVA that something is mapped at.
protocol IOVAArea {
    var iova: UInt64 { get }
    /// Not 0, and the range does not wrap round.
    var byteCount: UInt64 { get }
}

extension IOVAArea {
    var last: UInt64 { iova + (byteCount - 1) }
}

/// Areas that do not overlap, in the order of their addresses.
struct AreaList<Area: IOVAArea> {
    private(set) var areas: [Area] = []

    /// The index of the first area that ends at an address or after it.
    func firstIndex(endingFrom address: UInt64) -> Int {
        var low = 0
        var high = areas.count
        while low < high {
            let middle = (low + high) / 2
            if areas[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
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
