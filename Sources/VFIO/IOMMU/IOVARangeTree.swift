/// A B-tree of disjoint address ranges, which also finds the gaps between them.
///
/// An item of a leaf is a range. An item of an inner node is a whole subtree, as the range from its first address to
/// its last, with the widest gap inside. So nodes of all levels are read in the same way, and a search for a gap skips
/// each subtree whose gaps are too narrow. Insertion, removal and each search take O(log n) steps; nodes are wide, so
/// that the steps are few and each touches adjacent memory.
struct IOVARangeTree {
    struct Item {
        var first: UInt64
        var last: UInt64
        /// The widest gap inside of the subtree, in bytes; 0 for a range.
        var widestGap: UInt64 = 0
        /// The node of the subtree.
        var child = 0

        var range: ClosedRange<UInt64> { first...last }

        /// Whether the subtree's summary in the parent node stays the same.
        func looks(like other: Item) -> Bool {
            first == other.first && last == other.last && widestGap == other.widestGap
        }
    }

    /// The maximum number of items of a node.
    private static let width = 16

    // All nodes are in one array, each with room for its full width, so the tree needs few allocations.
    private var items: [Item] = []
    private var counts: [Int] = []
    private var spareNodes: [Int] = []
    private var root = 0
    /// The number of levels: 0 before the first range, 1 when the root is a leaf.
    private var height = 0

    // MARK: Searching

    /// Returns the lowest range that overlaps this one.
    func overlap(with range: ClosedRange<UInt64>) -> ClosedRange<UInt64>? {
        guard height > 0 else { return nil }
        var node = root
        for level in stride(from: height, through: 1, by: -1) {
            guard let index = firstIndex(in: node, where: { $0.last >= range.lowerBound }) else { return nil }
            let item = self[node, index]
            guard item.first <= range.upperBound else { return nil }
            if level == 1 { return item.range }
            node = item.child
        }
        return nil
    }

    /// Returns the lowest multiple of `alignment`, from `lowest` on, with `byteCount` free addresses up to `highest`.
    ///
    /// If all ranges begin and end at multiples of the alignment, as with pages, it takes O(log n) steps; with a
    /// greater alignment each gap that is wide enough but has no aligned room costs one more step.
    func lowestGap(
        byteCount: UInt64, alignment: UInt64, lowest: UInt64, highest: UInt64
    ) -> UInt64? {
        guard lowest <= highest else { return nil }
        var search = Search(byteCount: byteCount, mask: alignment &- 1, highest: highest, candidate: 0)
        guard search.advance(to: lowest) else { return nil }
        if height > 0 {
            switch look(in: root, height, &search) {
            case .found: return search.candidate
            case .exhausted: return nil
            case .goesOn: break
            }
        }
        return highest - search.candidate >= byteCount - 1 ? search.candidate : nil
    }

    private struct Search {
        let byteCount: UInt64
        /// One less than the alignment.
        let mask: UInt64
        let highest: UInt64
        /// The first address of the candidate gap, not above `highest`.
        var candidate: UInt64

        /// - Returns: Whether an address is left.
        @inline(__always)
        mutating func advance(to address: UInt64) -> Bool {
            let (sum, overflow) = address.addingReportingOverflow(mask)
            candidate = sum & ~mask
            return !overflow && candidate <= highest
        }
    }

    private enum Progress { case found, goesOn, exhausted }

    private func look(in node: Int, _ level: Int, _ search: inout Search) -> Progress {
        for index in 0..<counts[node] {
            let item = self[node, index]
            let candidate = search.candidate
            if item.last < candidate { continue }
            if item.first > candidate, item.first &- candidate >= search.byteCount {
                return search.highest &- candidate >= search.byteCount &- 1 ? .found : .exhausted
            }
            if item.widestGap >= search.byteCount {
                let progress = look(in: item.child, level &- 1, &search)
                if progress != .goesOn { return progress }
            }
            // Continue after the item, which does not end at the highest address if addresses remain.
            guard item.last < search.highest, search.advance(to: item.last &+ 1) else { return .exhausted }
        }
        return .goesOn
    }

    /// Calls `body` with each range, in order.
    func forEach(_ body: (ClosedRange<UInt64>) -> Void) {
        if height > 0 { forEach(in: root, height, body) }
    }

    private func forEach(in node: Int, _ level: Int, _ body: (ClosedRange<UInt64>) -> Void) {
        for index in 0..<counts[node] {
            let item = self[node, index]
            if level == 1 { body(item.range) } else { forEach(in: item.child, level - 1, body) }
        }
    }

    // MARK: Modifying

    /// Adds a range that overlaps no other.
    mutating func insert(_ range: ClosedRange<UInt64>) {
        if height == 0 {
            root = makeNode()
            height = 1
        }
        let item = Item(first: range.lowerBound, last: range.upperBound)
        var summary = Self.noSummary
        guard let sibling = insert(item, into: root, height, &summary) else { return }
        let top = makeNode()
        append(self.summary(of: root), to: top)
        append(self.summary(of: sibling), to: top)
        root = top
        height += 1
    }

    /// Removes the range that begins at `first`.
    ///
    /// - Returns: The range, or `nil` if none begins there.
    mutating func remove(beginningAt first: UInt64) -> ClosedRange<UInt64>? {
        var summary = Self.noSummary
        guard height > 0, let removed = remove(first, from: root, height, &summary) else { return nil }
        while height > 1, counts[root] == 1 {
            let child = self[root, 0].child
            spareNodes.append(root)
            root = child
            height -= 1
        }
        // Keep an empty root leaf: a program that alternately maps and unmaps would allocate it each time.
        return removed
    }

    /// A placeholder for the root's summary, which is not used: its maximal gap prevents recomputation.
    private static var noSummary: Item { Item(first: 0, last: 0, widestGap: .max) }

    /// - Parameter summary: The summary of this node in its parent, which is kept up to date.
    /// - Returns: A new node with the upper part of the items, if the node was full.
    private mutating func insert(_ item: Item, into node: Int, _ level: Int, _ summary: inout Item) -> Int? {
        let position = index(behind: item.first, in: node)
        guard level > 1 else {
            let sibling = place(item, at: position, in: node)
            if sibling != nil {
                summary = self.summary(of: node)
            } else {
                noteInsertion(of: item, at: position, of: node, &summary)
            }
            return sibling
        }
        let index = max(position &- 1, 0)
        let old = self[node, index]
        var new = old
        let sibling = insert(item, into: old.child, level &- 1, &new)
        guard let sibling else {
            if new.looks(like: old) { return nil }
            self[node, index] = new
            noteChange(from: old, to: new, at: index, of: node, &summary)
            return nil
        }
        self[node, index] = new
        let second = place(self.summary(of: sibling), at: index + 1, in: node)
        summary = self.summary(of: node)
        return second
    }

    /// - Parameter summary: The summary of this node in its parent, which is kept up to date unless the node becomes
    ///   empty.
    private mutating func remove(
        _ first: UInt64, from node: Int, _ level: Int, _ summary: inout Item
    ) -> ClosedRange<UInt64>? {
        let index = index(behind: first, in: node) &- 1
        guard index >= 0 else { return nil }
        let old = self[node, index]
        guard level > 1 else {
            guard old.first == first else { return nil }
            removeItem(at: index, of: node)
            noteRemoval(of: old, at: index, of: node, &summary)
            return old.range
        }
        var new = old
        guard let removed = remove(first, from: old.child, level &- 1, &new) else { return nil }
        if counts[old.child] == 0 {
            spareNodes.append(old.child)
            removeItem(at: index, of: node)
            noteRemoval(of: old, at: index, of: node, &summary)
        } else {
            if !new.looks(like: old) {
                self[node, index] = new
                noteChange(from: old, to: new, at: index, of: node, &summary)
            }
            if counts[old.child] < Self.width / 4 { mergeChild(at: index, of: node) }
        }
        return removed
    }

    /// Merges a child that has few items with a neighbour, if they fit into one node with room to grow.
    private mutating func mergeChild(at index: Int, of node: Int) {
        for left in [index, index - 1] where left >= 0 && left + 1 < counts[node] {
            let (lower, upper) = (self[node, left].child, self[node, left + 1].child)
            guard counts[lower] + counts[upper] <= Self.width * 3 / 4 else { continue }
            for position in 0..<counts[upper] { append(self[upper, position], to: lower) }
            spareNodes.append(upper)
            // The summary of the node in its parent does not change.
            let (one, next) = (self[node, left], self[node, left + 1])
            self[node, left] = Item(
                first: one.first, last: next.last,
                widestGap: max(one.widestGap, next.widestGap, Self.gap(between: one, next)), child: lower)
            removeItem(at: left + 1, of: node)
            return
        }
    }

    // MARK: Nodes

    // Unchecked arithmetic: it does not overflow for a valid node, and an invalid one fails the array's bounds check.
    private subscript(node: Int, index: Int) -> Item {
        @inline(__always) get { items[node &* Self.width &+ index] }
        @inline(__always) set { items[node &* Self.width &+ index] = newValue }
    }

    private mutating func makeNode() -> Int {
        if let spare = spareNodes.popLast() {
            counts[spare] = 0
            return spare
        }
        items.append(contentsOf: repeatElement(Item(first: 0, last: 0), count: Self.width))
        counts.append(0)
        return counts.count - 1
    }

    private func firstIndex(in node: Int, where predicate: (Item) -> Bool) -> Int? {
        for index in 0..<counts[node] where predicate(self[node, index]) { return index }
        return nil
    }

    /// Returns the index of the first item that begins after an address, or the number of items if none does.
    private func index(behind address: UInt64, in node: Int) -> Int {
        // Linear: a binary search would mispredict a branch at each step.
        let count = counts[node]
        var index = 0
        while index < count, self[node, index].first <= address { index &+= 1 }
        return index
    }

    /// Returns the summary of a node for its parent.
    private func summary(of node: Int) -> Item {
        Item(
            first: self[node, 0].first, last: self[node, counts[node] - 1].last, widestGap: widestGap(in: node),
            child: node)
    }

    private func widestGap(in node: Int) -> UInt64 {
        let first = self[node, 0]
        var last = first.last
        var widestGap = first.widestGap
        for index in 1..<max(counts[node], 1) {
            let item = self[node, index]
            // The items are sorted and disjoint.
            widestGap = max(widestGap, item.widestGap, item.first &- last &- 1)
            last = item.last
        }
        return widestGap
    }

    @inline(__always)
    private static func gap(between one: Item, _ next: Item) -> UInt64 { next.first &- one.last &- 1 }

    // MARK: Summaries

    /// Updates a leaf's summary after the insertion of a range.
    private func noteInsertion(of item: Item, at index: Int, of node: Int, _ summary: inout Item) {
        let isFirst = index == 0
        let isLast = index == counts[node] &- 1
        if isFirst { summary.first = item.first }
        if isLast { summary.last = item.last }
        if isFirst || isLast {
            // The space between the item and its neighbour is an inner gap now.
            if !isLast { summary.widestGap = max(summary.widestGap, Self.gap(between: item, self[node, index &+ 1])) }
            if !isFirst { summary.widestGap = max(summary.widestGap, Self.gap(between: self[node, index &- 1], item)) }
        } else if Self.gap(between: self[node, index &- 1], self[node, index &+ 1]) == summary.widestGap {
            // The range has split one of the widest gaps.
            summary.widestGap = widestGap(in: node)
        }
    }

    /// Updates a node's summary after the removal of an item.
    private func noteRemoval(of item: Item, at index: Int, of node: Int, _ summary: inout Item) {
        let count = counts[node]
        guard count > 0 else { return }
        let vanished: UInt64
        if index == 0 {
            let next = self[node, 0]
            summary.first = next.first
            vanished = max(item.widestGap, Self.gap(between: item, next))
        } else if index == count {
            let previous = self[node, count &- 1]
            summary.last = previous.last
            vanished = max(item.widestGap, Self.gap(between: previous, item))
        } else {
            // The item and the gaps around and inside it form one gap now, wider than each of them.
            summary.widestGap = max(
                summary.widestGap, Self.gap(between: self[node, index &- 1], self[node, index]))
            return
        }
        if vanished == summary.widestGap { summary.widestGap = widestGap(in: node) }
    }

    /// Updates a node's summary after a change of one of its subtrees.
    private func noteChange(from old: Item, to new: Item, at index: Int, of node: Int, _ summary: inout Item) {
        var former = old.widestGap
        var current = new.widestGap
        if index > 0 {
            let previous = self[node, index &- 1]
            former = max(former, Self.gap(between: previous, old))
            current = max(current, Self.gap(between: previous, new))
        } else {
            summary.first = new.first
        }
        if index &+ 1 < counts[node] {
            let next = self[node, index &+ 1]
            former = max(former, Self.gap(between: old, next))
            current = max(current, Self.gap(between: new, next))
        } else {
            summary.last = new.last
        }
        if current >= summary.widestGap {
            summary.widestGap = current
        } else if former == summary.widestGap {
            summary.widestGap = widestGap(in: node)
        }
    }

    // MARK: Items

    private mutating func append(_ item: Item, to node: Int) {
        self[node, counts[node]] = item
        counts[node] += 1
    }

    private mutating func removeItem(at position: Int, of node: Int) {
        move(from: position + 1, to: position, count: counts[node] - 1 - position, of: node)
        counts[node] -= 1
    }

    /// Moves adjacent items of a node to another position in it, which may overlap.
    private mutating func move(from source: Int, to target: Int, count: Int, of node: Int) {
        guard count > 0 else { return }
        precondition(source >= 0 && target >= 0 && max(source, target) + count <= Self.width)
        let start = node * Self.width
        precondition(start >= 0 && start + Self.width <= items.count)
        unsafe items.withUnsafeMutableBufferPointer { items in
            guard let base = items.baseAddress else { return }
            unsafe (base + start + target).update(from: base + start + source, count: count)
        }
    }

    /// - Returns: A new node with the upper part of the items, if the node was full.
    private mutating func place(_ item: Item, at position: Int, in node: Int) -> Int? {
        guard counts[node] == Self.width else {
            move(from: position, to: position + 1, count: counts[node] - position, of: node)
            counts[node] += 1
            self[node, position] = item
            return nil
        }
        let sibling = makeNode()
        // Split at the end for ascending addresses, so that each node is filled before the next one is begun.
        let half = position == Self.width ? Self.width : Self.width / 2
        for index in half..<Self.width { append(self[node, index], to: sibling) }
        counts[node] = half
        if position > half || half == Self.width {
            _ = place(item, at: position - half, in: sibling)
        } else {
            _ = place(item, at: position, in: node)
        }
        return sibling
    }
}
