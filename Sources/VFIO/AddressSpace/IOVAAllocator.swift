/// Hands out ranges of IO virtual addresses from those that the kernel allows.
///
/// Free ranges are kept sorted, apart and coalesced. An allocation takes the lowest room that fits, so that devices with
/// few address bits are served longest.
struct IOVAAllocator {
    /// The ranges that the IOMMU can translate, as the kernel gave them, last address included.
    private(set) var allowed: [ClosedRange<UInt64>]
    private var free: [ClosedRange<UInt64>]
    /// What has been handed out: its first address and its last.
    private var taken: [UInt64: UInt64] = [:]

    /// - Parameter allowed: Sorted and disjoint.
    init(allowed: [ClosedRange<UInt64>]) {
        self.allowed = allowed
        self.free = allowed
    }

    /// Replaces the allowed ranges, as after another device was attached. What is taken stays taken.
    mutating func update(allowed: [ClosedRange<UInt64>]) {
        guard allowed != self.allowed else { return }
        self.allowed = allowed
        free = allowed
        for (first, last) in taken { carve(first...last) }
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
        for range in free {
            guard let first = max(range.lowerBound, 1).roundedUp(to: alignment) else { return nil }
            let (last, overflow) = first.addingReportingOverflow(byteCount - 1)
            if overflow || last > highest { return nil }
            if last <= range.upperBound {
                take(first...last)
                return first
            }
        }
        return nil
    }

    /// Takes exactly this range, whose place somebody else has chosen and found free.
    mutating func take(_ range: ClosedRange<UInt64>) {
        taken[range.lowerBound] = range.upperBound
        carve(range)
    }

    /// Gives back the range that begins at `first`.
    mutating func release(_ first: UInt64) {
        guard let last = taken.removeValue(forKey: first) else { return }
        for range in allowed where range.overlaps(first...last) {
            insert(range.clamped(to: first...last))
        }
    }

    /// Whether all of the range may be mapped.
    func allows(_ range: ClosedRange<UInt64>) -> Bool {
        allowed.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    /// A range that has been handed out and overlaps this one.
    func overlap(with range: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
        for (first, last) in taken where (first...last).overlaps(range) { return first...last }
        return nil
    }

    // MARK: The free list

    /// The index of the first free range that ends at or after `address`.
    private func index(endingAtOrAfter address: UInt64) -> Int {
        var low = 0
        var high = free.count
        while low < high {
            let middle = (low + high) / 2
            if free[middle].upperBound < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func carve(_ range: ClosedRange<UInt64>) {
        let start = index(endingAtOrAfter: range.lowerBound)
        var end = start
        var rest: [ClosedRange<UInt64>] = []
        while end < free.count, free[end].lowerBound <= range.upperBound {
            let old = free[end]
            if old.lowerBound < range.lowerBound { rest.append(old.lowerBound...(range.lowerBound - 1)) }
            if old.upperBound > range.upperBound { rest.append((range.upperBound + 1)...old.upperBound) }
            end += 1
        }
        free.replaceSubrange(start..<end, with: rest)
    }

    private mutating func insert(_ range: ClosedRange<UInt64>) {
        var lower = range.lowerBound
        var upper = range.upperBound
        var start = index(endingAtOrAfter: lower)
        var end = start
        if start > 0, free[start - 1].upperBound == lower - 1 {
            start -= 1
            lower = free[start].lowerBound
        }
        if end < free.count, upper < .max, free[end].lowerBound == upper + 1 {
            upper = free[end].upperBound
            end += 1
        }
        free.replaceSubrange(start..<end, with: CollectionOfOne(lower...upper))
    }
}
