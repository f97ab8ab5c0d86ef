import Glibc

@testable import VFIO

extension IOVAAllocator {
    /// What of the allowed ranges is not taken.
    fileprivate var freeRanges: [ClosedRange<UInt64>] {
        var taken: [ClosedRange<UInt64>] = []
        forEachTaken { taken.append($0) }
        taken.sort { $0.lowerBound < $1.lowerBound }
        var free: [ClosedRange<UInt64>] = []
        for range in allowed {
            var start: UInt64? = range.lowerBound
            for hole in taken where hole.overlaps(range) {
                guard let position = start, hole.upperBound >= position else { continue }
                if hole.lowerBound > position { free.append(position...(hole.lowerBound - 1)) }
                start = hole.upperBound < range.upperBound ? hole.upperBound + 1 : nil
            }
            if let start { free.append(start...range.upperBound) }
        }
        return free
    }
}

@Suite struct IOVAAllocatorTests {
    private static let page: UInt64 = 0x1000

    @Test func itTakesTheLowestRoomThatFits() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x1fff, 0x4000...0x7fff])
        #expect(allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max) == 0x4000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x1000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x6000)
        #expect(allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max) == nil)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x7000)
        #expect(allocator.freeRanges.isEmpty)
    }

    @Test func itAligns() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x3f_ffff])
        #expect(allocator.allocate(byteCount: 0x1000, alignment: 0x20_0000, highest: .max) == 0x20_0000)
        #expect(allocator.freeRanges == [0x1000...0x1f_ffff, 0x20_1000...0x3f_ffff])
        #expect(allocator.allocate(byteCount: 1, alignment: 0x20_0000, highest: .max) == nil)
    }

    @Test func itNeverHandsOutAddressZero() {
        var allocator = IOVAAllocator(allowed: [0...0x2fff])
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x1000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x2000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == nil)
        // Whoever asks for it gets it.
        allocator.take(0...0xfff)
        #expect(allocator.freeRanges.isEmpty)
    }

    @Test func anOddAlignmentOfOneStartsAtOne() {
        var allocator = IOVAAllocator(allowed: [0...9])
        #expect(allocator.allocate(byteCount: 9, alignment: 1, highest: .max) == 1)
    }

    @Test func highestIsTheLastAddressThatCounts() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xffff])
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: 0x1ffe) == nil)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: 0x1fff) == 0x1000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: 0x1fff) == nil)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: 0) == nil)
    }

    @Test func nothingIsAllowed() {
        var allocator = IOVAAllocator(allowed: [])
        #expect(allocator.allocate(byteCount: 1, alignment: 1, highest: .max) == nil)
        #expect(!allocator.allows(0...0))
        allocator.release(0)
        #expect(allocator.freeRanges.isEmpty)
    }

    // MARK: Holes

    @Test func aFixedRangeLeavesTheRestOnBothSides() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x8fff])
        allocator.take(0x3000...0x4fff)
        #expect(allocator.freeRanges == [0x1000...0x2fff, 0x5000...0x8fff])
        #expect(allocator.overlap(with: 0x4000...0x4000) == 0x3000...0x4fff)
        #expect(allocator.overlap(with: 0x2000...0x3000) == 0x3000...0x4fff)
        #expect(allocator.overlap(with: 0x2000...0x2fff) == nil)
        #expect(allocator.overlap(with: 0x5000...0x5fff) == nil)
        #expect(allocator.allocate(byteCount: 0x3000, alignment: Self.page, highest: .max) == 0x5000)
    }

    @Test func aFixedRangeMayReachOverHolesAndEdges() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x2fff, 0x5000...0x6fff, 0x9000...0x9fff])
        allocator.take(0x2000...0x9fff)
        #expect(allocator.freeRanges == [0x1000...0x1fff])
        allocator.release(0x2000)
        // What lies in the holes was never free.
        #expect(allocator.freeRanges == [0x1000...0x2fff, 0x5000...0x6fff, 0x9000...0x9fff])
    }

    @Test(arguments: [
        [0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0],
    ])
    func neighboursCoalesceInAnyOrder(_ order: [UInt64]) {
        var allocator = IOVAAllocator(allowed: [0x1000...0x3fff])
        for _ in 0..<3 { _ = allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) }
        #expect(allocator.freeRanges.isEmpty)
        for index in order { allocator.release(0x1000 + index * 0x1000) }
        #expect(allocator.freeRanges == [0x1000...0x3fff])
    }

    @Test func allowedRangesThatTouchStayApartForThemselvesOnly() {
        // Two ranges of the kernel's that touch: a mapping must not cross from one to the other.
        let allocator = IOVAAllocator(allowed: [0x1000...0x1fff, 0x2000...0x2fff])
        #expect(!allocator.allows(0x1000...0x2fff))
    }

    @Test func releasingWhatWasNotTakenDoesNothing() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x3fff])
        let first = allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max)
        #expect(first == 0x1000)
        allocator.release(0x2000)
        allocator.release(0)
        #expect(allocator.freeRanges == [0x3000...0x3fff])
        allocator.release(0x1000)
        allocator.release(0x1000)
        #expect(allocator.freeRanges == [0x1000...0x3fff])
    }

    @Test func allowsAsksForAllOfTheRange() {
        let allocator = IOVAAllocator(allowed: [0x1000...0x2fff, 0x5000...UInt64.max])
        #expect(allocator.allows(0x1000...0x2fff))
        #expect(allocator.allows(UInt64.max...UInt64.max))
        #expect(!allocator.allows(0xfff...0x2fff))
        #expect(!allocator.allows(0x1000...0x3000))
        #expect(!allocator.allows(0x2000...0x5000))
        #expect(!allocator.allows(0x3000...0x4fff))
    }

    // MARK: Rest

    private func allocate(_ allocator: inout IOVAAllocator, _ pages: UInt64 = 1) -> UInt64? {
        allocator.allocate(byteCount: pages * Self.page, alignment: Self.page, highest: .max)
    }

    @Test func whatWasReleasedIsNotAllocatedAtOnce() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xf_ffff])
        let held = (0..<12).map { _ in allocate(&allocator)! }
        for first in held[..<9] { allocator.release(first) }
        // All but the one that was released first.
        #expect(allocate(&allocator) == held[0])
        #expect(allocate(&allocator) == held[11] + Self.page)
        allocator.release(held[9])
        #expect(allocate(&allocator) == held[1])
    }

    @Test func whatWasReleasedIsAllocatedWhenNothingElseFits() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x8fff])
        let held = (0..<8).map { _ in allocate(&allocator)! }
        // The oldest first, and as many as it takes.
        for index in [5, 2, 3, 7] { allocator.release(held[index]) }
        #expect(allocate(&allocator) == held[5])
        #expect(allocate(&allocator, 2) == held[2])
        #expect(allocate(&allocator) == held[7])
        #expect(allocate(&allocator) == nil)
    }

    /// Whoever chooses an address gets it.
    @Test func whatWasReleasedCanBeTakenAtOnce() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xffff])
        let held = (0..<3).map { _ in allocate(&allocator)! }
        for first in held { allocator.release(first) }
        #expect(allocator.overlap(with: 0x1000...0x3fff) == nil)
        allocator.take(0x2000...0x2fff)
        #expect(allocator.overlap(with: 0x1000...0xffff) == 0x2000...0x2fff)
        #expect(allocator.freeRanges == [0x1000...0x1fff, 0x3000...0xffff])
        // What overlaps two that rest, and one that does not.
        allocator.take(0x1000...0x3fff)
        allocator.release(0x2000)
        #expect(allocator.freeRanges == [0x4000...0xffff])
        allocator.release(0x1000)
        #expect(allocator.freeRanges == [0x1000...0xffff])
        allocator.release(0x1000)
        #expect(allocate(&allocator) == 0x4000)
    }

    // MARK: Another device

    @Test func anUpdateKeepsWhatIsTaken() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xffff])
        let first = allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max)
        #expect(first == 0x1000)
        allocator.take(0x8000...0x8fff)
        allocator.update(allowed: [0x2000...0x8fff])
        #expect(allocator.allowed == [0x2000...0x8fff])
        #expect(allocator.freeRanges == [0x3000...0x7fff])
        #expect(allocator.overlap(with: 0x1000...0x1000) == 0x1000...0x2fff)
        // What is no longer allowed does not become free again.
        allocator.release(0x1000)
        #expect(allocator.freeRanges == [0x2000...0x7fff])
        allocator.release(0x8000)
        #expect(allocator.freeRanges == [0x2000...0x8fff])
    }

    @Test func anUpdateToTheSameChangesNothing() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xffff])
        _ = allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max)
        let free = allocator.freeRanges
        allocator.update(allowed: [0x1000...0xffff])
        #expect(allocator.freeRanges == free)
    }

    // MARK: The end of the space

    @Test func theLastPageCanBeHadAndGivenBack() {
        let last = UInt64.max - 0xfff
        var allocator = IOVAAllocator(allowed: [(last - 0x1000)...UInt64.max])
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == last - 0x1000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == last)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == nil)
        allocator.release(last)
        #expect(allocator.freeRanges == [last...UInt64.max])
        allocator.release(last - 0x1000)
        #expect(allocator.freeRanges == [(last - 0x1000)...UInt64.max])
    }

    @Test func theWholeSpaceDoesNotOverflow() {
        var allocator = IOVAAllocator(allowed: [0...UInt64.max])
        #expect(allocator.allocate(byteCount: .max, alignment: 1, highest: .max) == 1)
        #expect(allocator.freeRanges == [0...0])
        #expect(allocator.allocate(byteCount: 1, alignment: 1, highest: .max) == nil)
        allocator.release(1)
        #expect(allocator.freeRanges == [0...UInt64.max])
        #expect(allocator.allocate(byteCount: .max, alignment: 0x1000, highest: .max) == nil)
        #expect(allocator.allocate(byteCount: 1 << 63, alignment: 1 << 63, highest: .max) == 1 << 63)
        #expect(allocator.allocate(byteCount: 1, alignment: 1 << 63, highest: .max) == nil)
    }

    @Test func aStartThatCannotBeAlignedUpwardsIsNoRoom() {
        var allocator = IOVAAllocator(allowed: [(UInt64.max - 5)...UInt64.max])
        #expect(allocator.allocate(byteCount: 1, alignment: 0x1000, highest: .max) == nil)
        #expect(allocator.allocate(byteCount: 6, alignment: 2, highest: .max) == UInt64.max - 5)
    }

    @Test func takingTheLastAddressLeavesTheRest() {
        var allocator = IOVAAllocator(allowed: [0...UInt64.max])
        allocator.take(UInt64.max...UInt64.max)
        #expect(allocator.freeRanges == [0...(UInt64.max - 1)])
        allocator.take(0...0)
        #expect(allocator.freeRanges == [1...(UInt64.max - 1)])
        allocator.release(UInt64.max)
        allocator.release(0)
        #expect(allocator.freeRanges == [0...UInt64.max])
    }

    // MARK: Disputes

    @Test func aRangeTakenOverAnotherOutlivesIt() {
        var allocator = IOVAAllocator(allowed: [0x1000...0xffff])
        allocator.take(0x3000...0x4fff)
        // Somebody unmapped the first and has not told yet, while another one mapped there.
        allocator.take(0x3000...0x3fff)
        #expect(allocator.freeRanges == [0x1000...0x2fff, 0x5000...0xffff])
        allocator.release(0x3000)
        #expect(allocator.freeRanges == [0x1000...0x2fff, 0x4000...0xffff])
        #expect(allocator.overlap(with: 0x3000...0x3000) == 0x3000...0x3fff)
        allocator.release(0x3000)
        #expect(allocator.freeRanges == [0x1000...0xffff])
    }

    @Test func whatIsDisputedIsNotGivenAway() {
        var allocator = IOVAAllocator(allowed: [0x1000...0x8fff])
        allocator.take(0x3000...0x3fff)
        allocator.take(0x2000...0x5fff)
        #expect(allocator.overlap(with: 0x5000...0x5000) == 0x2000...0x5fff)
        #expect(allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max) == 0x6000)
        #expect(allocator.allocate(byteCount: 0x2000, alignment: Self.page, highest: .max) == nil)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == 0x1000)
        // Its own end can come first as well.
        allocator.release(0x2000)
        #expect(allocator.freeRanges == [0x2000...0x2fff, 0x4000...0x5fff, 0x8000...0x8fff])
    }

    @Test func aDisputeUpToTheEndOfTheSpaceLeavesNoRoom() {
        let last = UInt64.max - 0xfff
        var allocator = IOVAAllocator(allowed: [(last - 0x1000)...UInt64.max])
        allocator.take((last - 0x1000)...(last - 0x1000))
        allocator.take((last - 0x1000)...UInt64.max)
        #expect(allocator.allocate(byteCount: 1, alignment: 1, highest: .max) == nil)
        allocator.release(last - 0x1000)
        allocator.release(last - 0x1000)
        #expect(allocator.allocate(byteCount: 0x1000, alignment: Self.page, highest: .max) == last - 0x1000)
    }

    // MARK: Many

    @Test(arguments: [1, 2, 3] as [UInt64])
    func itAgreesWithAFreeListOnManyRanges(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let window: ClosedRange<UInt64> = 0x1000...0x7fff_ffff
        var allocator = IOVAAllocator(allowed: [window], restingLimit: 0)
        var list = FreeList(window)
        var held: [UInt64] = []
        // Grows to some thousands, shrinks to few, and grows again, so that nodes are split, joined and used again.
        for step in 0..<30000 {
            let grows = (step / 5000) % 2 == 0
            if Int.random(in: 0..<100, using: &generator) < (grows ? 75 : 20) || held.isEmpty {
                let pages = UInt64.random(in: 1...9, using: &generator)
                let alignment = Self.page << UInt64.random(in: 0...(step % 7 == 0 ? 5 : 0), using: &generator)
                let highest: UInt64 = step % 11 == 0 ? 0x80_0000 : .max
                let first = allocator.allocate(byteCount: pages * Self.page, alignment: alignment, highest: highest)
                let expected = list.allocate(byteCount: pages * Self.page, alignment: alignment, highest: highest)
                try #require(first == expected, "step \(step)")
                if let first { held.append(first) }
            } else {
                let first = held.swapRemove(at: Int.random(in: 0..<held.count, using: &generator))
                allocator.release(first)
                list.release(first)
            }
            if step % 2500 == 0 { try #require(allocator.freeRanges == list.free, "step \(step)") }
        }
        for first in held { allocator.release(first) }
        #expect(allocator.freeRanges == [window])
    }

    // MARK: Against a model

    /// A naive allocator: one flag for each address of a small window.
    private struct Model {
        let base: UInt64
        let size = 256
        var isAllowed: [Bool]
        var isTaken: [Bool]
        var taken: [UInt64: ClosedRange<Int>] = [:]
        let restingLimit: Int
        var resting: [ClosedRange<Int>] = []

        init(base: UInt64, allowed: [ClosedRange<UInt64>], restingLimit: Int) {
            self.base = base
            self.restingLimit = restingLimit
            isTaken = Array(repeating: false, count: size)
            isAllowed = []
            setAllowed(allowed)
        }

        mutating func setAllowed(_ ranges: [ClosedRange<UInt64>]) {
            isAllowed = (0..<size).map { index in ranges.contains { $0.contains(base + UInt64(index)) } }
        }

        func isFree(_ index: Int) -> Bool { isAllowed[index] && !isTaken[index] }

        mutating func allocate(_ count: Int, alignment: UInt64, highest: UInt64) -> UInt64? {
            while true {
                if let first = lowest(count, alignment: alignment, highest: highest) { return first }
                if resting.isEmpty { return nil }
                resting.removeFirst()
            }
        }

        private func lowest(_ count: Int, alignment: UInt64, highest: UInt64) -> UInt64? {
            for start in 0..<size {
                let first = base + UInt64(start)
                guard first > 0, first % alignment == 0, start + count <= size else { continue }
                guard base + UInt64(start + count - 1) <= highest else { return nil }
                let range = start...(start + count - 1)
                if range.allSatisfy(isFree), !resting.contains(where: range.overlaps) { return first }
            }
            return nil
        }

        mutating func take(_ first: UInt64, _ count: Int) {
            let start = Int(first - base)
            for index in start..<(start + count) { isTaken[index] = true }
            taken[first] = start...(start + count - 1)
            resting.removeAll { $0.overlaps(start...(start + count - 1)) }
        }

        mutating func release(_ first: UInt64) {
            let range = taken.removeValue(forKey: first)!
            for index in range { isTaken[index] = false }
            resting.append(range)
            if resting.count > restingLimit { resting.removeFirst() }
        }

        /// The free addresses as sorted ranges that do not touch.
        var freeRanges: [ClosedRange<UInt64>] {
            var ranges: [ClosedRange<UInt64>] = []
            var start: Int?
            for index in 0...size {
                if index < size, isFree(index) {
                    start = start ?? index
                } else if let first = start {
                    ranges.append((base + UInt64(first))...(base + UInt64(index - 1)))
                    start = nil
                }
            }
            return ranges
        }
    }

    @Test(arguments: [0, 0x1_0000, UInt64.max - 255] as [UInt64], [1, 2, 3, 4] as [UInt64])
    func itAgreesWithANaiveModel(base: UInt64, seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let allowed = generator.ranges(base: base)
        let restingLimit = [0, 1, 4, 16][Int(seed - 1)]
        var allocator = IOVAAllocator(allowed: allowed, restingLimit: restingLimit)
        var model = Model(base: base, allowed: allowed, restingLimit: restingLimit)
        for step in 0..<4000 {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<45:
                let count = Int.random(in: 1...24, using: &generator)
                let alignment = UInt64(1) << UInt64.random(in: 0...5, using: &generator)
                let highest =
                    Bool.random(using: &generator) ? .max : base + UInt64.random(in: 0...255, using: &generator)
                let expected = model.allocate(count, alignment: alignment, highest: highest)
                let first = allocator.allocate(byteCount: UInt64(count), alignment: alignment, highest: highest)
                try #require(first == expected, "step \(step): \(count) bytes at a multiple of \(alignment)")
                if let first { model.take(first, count) }
            case 45..<60:
                let start = Int.random(in: 0...255, using: &generator)
                let end = min(255, start + Int.random(in: 0...12, using: &generator))
                guard (start...end).allSatisfy({ !model.isTaken[$0] }) else { continue }
                allocator.take((base + UInt64(start))...(base + UInt64(end)))
                model.take(base + UInt64(start), end - start + 1)
            case 60..<98:
                guard let first = model.taken.keys.sorted().randomElement(using: &generator) else { continue }
                allocator.release(first)
                model.release(first)
            default:
                let allowed = generator.ranges(base: base)
                allocator.update(allowed: allowed)
                model.setAllowed(allowed)
            }
            try #require(allocator.freeRanges == model.freeRanges, "step \(step)")
            let probe = base + UInt64.random(in: 0...255, using: &generator)
            let expected = model.taken.values.first { $0.contains(Int(probe - base)) }
            try #require(
                allocator.overlap(with: probe...probe).map { Int($0.lowerBound - base)...Int($0.upperBound - base) }
                    == expected, "step \(step)")
        }
    }
}

extension Array {
    /// Takes an element out, and puts the last one in its place.
    fileprivate mutating func swapRemove(at index: Int) -> Element {
        swapAt(index, count - 1)
        return removeLast()
    }
}

extension SplitMix64 {
    /// Ranges within the window that do not touch each other, as the kernel gives them.
    fileprivate mutating func ranges(base: UInt64) -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        var position = Int.random(in: 0...20, using: &self)
        while position < 256 {
            let last = min(255, position + Int.random(in: 0...90, using: &self))
            ranges.append((base + UInt64(position))...(base + UInt64(last)))
            position = last + 2 + Int.random(in: 0...20, using: &self)
        }
        return ranges
    }
}
