/// The pages of a range that devices may have written.
public struct DirtyBitmap: Sendable, Hashable {
    /// The first address of the range.
    public let iova: IOVA
    /// The size of a page in bytes.
    public let pageSize: UInt64
    /// The number of pages of the range.
    public let pageCount: Int
    /// One bit per page, the first page in the lowest bit of the first word.
    public let words: [UInt64]

    init(_ iova: IOVA, byteCount: UInt64, pageSize: UInt64, words: [UInt64]) {
        self.iova = iova
        self.pageSize = pageSize
        self.pageCount = Int(byteCount / pageSize)
        self.words = words
    }

    /// Returns whether a page is dirty. Traps beyond the last page.
    public func isDirty(page: Int) -> Bool {
        precondition(page >= 0 && page < pageCount, "there are \(pageCount) pages")
        return words[page / 64] >> UInt64(page % 64) & 1 == 1
    }

    /// The number of dirty pages.
    public var dirtyPageCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The dirty ranges, sorted and not adjacent, inclusive.
    public var dirtyRanges: [ClosedRange<IOVA>] {
        var ranges: [ClosedRange<IOVA>] = []
        var start: Int?
        for page in 0...pageCount {
            let isDirty = page < pageCount && self.isDirty(page: page)
            if isDirty {
                start = start ?? page
            } else if let first = start {
                let last = iova.rawValue + (UInt64(page) * pageSize - 1)
                ranges.append(IOVA(iova.rawValue + UInt64(first) * pageSize)...IOVA(last))
                start = nil
            }
        }
        return ranges
    }
}
