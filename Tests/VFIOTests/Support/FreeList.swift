/// The plainest allocator that is right: a sorted list of what is free, searched from its beginning.
struct FreeList {
    private(set) var free: [ClosedRange<UInt64>]
    private(set) var taken: [UInt64: UInt64] = [:]

    init(_ window: ClosedRange<UInt64>) { free = [window] }

    mutating func allocate(byteCount: UInt64, alignment: UInt64, highest: UInt64) -> UInt64? {
        for (index, range) in free.enumerated() {
            let first = (range.lowerBound + alignment - 1) / alignment * alignment
            let last = first + byteCount - 1
            guard last <= range.upperBound else { continue }
            guard last <= highest else { return nil }
            var rest: [ClosedRange<UInt64>] = []
            if range.lowerBound < first { rest.append(range.lowerBound...(first - 1)) }
            if last < range.upperBound { rest.append((last + 1)...range.upperBound) }
            free.replaceSubrange(index...index, with: rest)
            taken[first] = last
            return first
        }
        return nil
    }

    mutating func release(_ first: UInt64) {
        var range = first...taken.removeValue(forKey: first)!
        if let index = free.firstIndex(where: { $0.lowerBound == range.upperBound + 1 }) {
            range = range.lowerBound...free.remove(at: index).upperBound
        }
        if let index = free.firstIndex(where: { $0.upperBound == range.lowerBound - 1 }) {
            range = free.remove(at: index).lowerBound...range.upperBound
        }
        free.insert(range, at: free.firstIndex { $0.lowerBound > range.lowerBound } ?? free.count)
    }
}
