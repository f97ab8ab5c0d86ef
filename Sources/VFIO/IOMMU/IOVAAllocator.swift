/// Allocates IOVA ranges from those that the kernel permits.
///
/// An allocation takes the lowest gap that fits, so that devices with few address bits find room longest. The ranges that
/// were released last rest: they are only allocated when nothing else fits, so that the late DMA of a device to a buffer
/// that was freed too early faults, rather than overwrites the next buffer. Each operation takes O(log n) steps for n
/// taken ranges; see ``IOVARangeTree`` for the cost of alignments beyond pages.
struct IOVAAllocator {
    /// The ranges that the IOMMU can translate, as the kernel reports them, inclusive: a few.
    private(set) var allowed: [ClosedRange<UInt64>]
    /// The allocated ranges, and those that rest.
    private var taken = IOVARangeTree()
    /// The first addresses of the ranges that rest: a ring, which begins at the oldest.
    private var resting: [UInt64] = []
    private var oldest = 0
    private let restingLimit: Int
    /// Ranges that are taken as well, but overlap earlier ones whose release is not recorded yet. Usually empty.
    private var disputed: [ClosedRange<UInt64>] = []

    /// - Parameters:
    ///   - allowed: Sorted and disjoint.
    ///   - restingLimit: How many of the released ranges rest.
    init(allowed: [ClosedRange<UInt64>], restingLimit: Int = 8) {
        self.allowed = allowed
        self.restingLimit = restingLimit
    }

    /// Replaces the permitted ranges, as after another device was attached. Taken ranges stay taken.
    mutating func update(allowed: [ClosedRange<UInt64>]) {
        self.allowed = allowed
    }

    /// Takes `byteCount` bytes at a multiple of `alignment`, none of them above `highest`.
    ///
    /// Address 0 is never chosen: a DMA to an uninitialised address should fault rather than reach a mapping.
    ///
    /// - Parameters:
    ///   - byteCount: Greater than 0.
    ///   - alignment: A power of two.
    /// - Returns: The first address, or `nil` if there is no gap.
    mutating func allocate(byteCount: UInt64, alignment: UInt64, highest: UInt64) -> UInt64? {
        while true {
            if let first = findRoom(byteCount, alignment: alignment, highest: highest) { return first }
            guard !resting.isEmpty else { return nil }
            wake(oldest)
        }
    }

    private mutating func findRoom(_ byteCount: UInt64, alignment: UInt64, highest: UInt64) -> UInt64? {
        for index in allowed.indices {
            let range = allowed[index]
            guard range.lowerBound <= highest else { continue }
            let highest = min(range.upperBound, highest)
            var lowest = max(range.lowerBound, 1)
            while let first = taken.lowestGap(
                byteCount: byteCount, alignment: alignment, lowest: lowest, highest: highest)
            {
                let found = first...(first + (byteCount - 1))
                guard let dispute = disputed.first(where: { $0.overlaps(found) }) else {
                    taken.insert(found)
                    return first
                }
                guard dispute.upperBound < highest else { break }
                lowest = dispute.upperBound + 1
            }
        }
        return nil
    }

    /// Takes exactly this range, which the caller has chosen and found free.
    mutating func take(_ range: ClosedRange<UInt64>) {
        while let old = taken.overlap(with: range), let index = resting.firstIndex(of: old.lowerBound) { wake(index) }
        if taken.overlap(with: range) == nil { taken.insert(range) } else { disputed.append(range) }
    }

    /// Releases the range that begins at `first`.
    mutating func release(_ first: UInt64) {
        guard letRest(first) else {
            if let index = disputed.firstIndex(where: { $0.lowerBound == first }) { disputed.remove(at: index) }
            return
        }
        if disputed.isEmpty { return }
        // The ranges that these overlapped may have been released.
        let waiting = disputed
        disputed = []
        for range in waiting { take(range) }
    }

    /// - Returns: Whether a taken range begins at `first`.
    private mutating func letRest(_ first: UInt64) -> Bool {
        guard restingLimit > 0 else { return taken.remove(beginningAt: first) != nil }
        guard !resting.contains(first), taken.overlap(with: first...first)?.lowerBound == first else { return false }
        guard resting.count == restingLimit else {
            resting.append(first)
            return true
        }
        _ = taken.remove(beginningAt: resting[oldest])
        resting[oldest] = first
        oldest = oldest + 1 == restingLimit ? 0 : oldest + 1
        return true
    }

    /// Ends the rest of a range before its time.
    private mutating func wake(_ index: Int) {
        _ = taken.remove(beginningAt: resting[index])
        // With room for another one, the oldest is the first.
        resting = Array(resting[oldest...] + resting[..<oldest])
        resting.remove(at: (index - oldest + resting.count) % resting.count)
        oldest = 0
    }

    /// Returns whether all of the range may be mapped.
    func allows(_ range: ClosedRange<UInt64>) -> Bool {
        allowed.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    /// Returns a taken range that overlaps this one.
    func overlap(with range: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
        var rest = range
        while let found = taken.overlap(with: rest) {
            guard resting.contains(found.lowerBound) else { return found }
            guard found.upperBound < range.upperBound else { break }
            rest = (found.upperBound + 1)...range.upperBound
        }
        return disputed.first { $0.overlaps(range) }
    }

    /// Calls `body` with each taken range.
    func forEachTaken(_ body: (ClosedRange<UInt64>) -> Void) {
        func visit(_ range: ClosedRange<UInt64>) {
            if !resting.contains(range.lowerBound) { body(range) }
        }
        taken.forEach(visit)
        disputed.forEach(body)
    }
}
