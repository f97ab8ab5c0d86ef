/// Hands out ranges of IO virtual addresses from those that the kernel allows.
///
/// An allocation takes the lowest room that fits, so that devices with few address bits are served longest. Each operation
/// takes O(log n) steps for n ranges that are taken; see ``IOVARangeTree`` for what an alignment beyond pages costs.
struct IOVAAllocator {
    /// The ranges that the IOMMU can translate, as the kernel gave them, last address included: a few.
    private(set) var allowed: [ClosedRange<UInt64>]
    /// What has been handed out.
    private var taken = IOVARangeTree()
    /// Taken as well, but over a part of what was taken before, whose end has not been told yet. Mostly none.
    private var disputed: [ClosedRange<UInt64>] = []

    /// - Parameter allowed: Sorted and disjoint.
    init(allowed: [ClosedRange<UInt64>]) {
        self.allowed = allowed
    }

    /// Replaces the allowed ranges, as after another device was attached. What is taken stays taken.
    mutating func update(allowed: [ClosedRange<UInt64>]) {
        self.allowed = allowed
    }

    /// Takes `byteCount` bytes at a multiple of `alignment`, none of them above `highest`.
    ///
    /// Address 0 is never chosen: a descriptor that was forgotten at zero should fault rather than hit a mapping.
    ///
    /// - Parameters:
    ///   - byteCount: Greater than 0.
    ///   - alignment: A power of two.
    /// - Returns: The first address, or `nil` when there is no room.
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

    /// Takes exactly this range, whose place somebody else has chosen and found free.
    mutating func take(_ range: ClosedRange<UInt64>) {
        if taken.overlap(with: range) == nil { taken.insert(range) } else { disputed.append(range) }
    }

    /// Gives back the range that begins at `first`.
    mutating func release(_ first: UInt64) {
        guard taken.remove(beginningAt: first) != nil else {
            if let index = disputed.firstIndex(where: { $0.lowerBound == first }) { disputed.remove(at: index) }
            return
        }
        if disputed.isEmpty { return }
        // What was in the way of these may be gone.
        let waiting = disputed
        disputed = []
        for range in waiting { take(range) }
    }

    /// Whether all of the range may be mapped.
    func allows(_ range: ClosedRange<UInt64>) -> Bool {
        allowed.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    /// A range that has been handed out and overlaps this one.
    func overlap(with range: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
        taken.overlap(with: range) ?? disputed.first { $0.overlaps(range) }
    }

    /// Hands over each range that is taken.
    func forEachTaken(_ body: (ClosedRange<UInt64>) -> Void) {
        taken.forEach(body)
        disputed.forEach(body)
    }
}
