/// Allocates IOVA ranges from those that the kernel permits.
///
/// An allocation takes the lowest gap that fits, so that devices with few address bits find room longest. Each
/// operation takes O(log n) steps for n taken ranges; see ``IOVARangeTree`` for the cost of alignments beyond pages.
struct IOVAAllocator {
    /// The ranges that the IOMMU can translate, as the kernel reports them, inclusive: a few.
    private(set) var allowed: [ClosedRange<UInt64>]
    /// The allocated ranges.
    private var taken = IOVARangeTree()
    /// Ranges that are taken as well, but overlap earlier ones whose release is not recorded yet. Usually empty.
    private var disputed: [ClosedRange<UInt64>] = []

    /// - Parameter allowed: Sorted and disjoint.
    init(allowed: [ClosedRange<UInt64>]) {
        self.allowed = allowed
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
        if taken.overlap(with: range) == nil { taken.insert(range) } else { disputed.append(range) }
    }

    /// Releases the range that begins at `first`.
    mutating func release(_ first: UInt64) {
        guard taken.remove(beginningAt: first) != nil else {
            if let index = disputed.firstIndex(where: { $0.lowerBound == first }) { disputed.remove(at: index) }
            return
        }
        if disputed.isEmpty { return }
        // The ranges that these overlapped may have been released.
        let waiting = disputed
        disputed = []
        for range in waiting { take(range) }
    }

    /// Returns whether all of the range may be mapped.
    func allows(_ range: ClosedRange<UInt64>) -> Bool {
        allowed.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    /// Returns a taken range that overlaps this one.
    func overlap(with range: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
        taken.overlap(with: range) ?? disputed.first { $0.overlaps(range) }
    }

    /// Calls `body` with each taken range.
    func forEachTaken(_ body: (ClosedRange<UInt64>) -> Void) {
        taken.forEach(body)
        disputed.forEach(body)
    }
}
