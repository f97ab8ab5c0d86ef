/// Disjoint ranges of addresses in order, with what lies free between them: a B-tree.
///
/// An item of a leaf is a range. An item of an inner node is a whole subtree, as the range from its first address to its
/// last, with the widest gap inside. So a node of any level is read in the same way, and a search for room skips each
/// subtree whose gaps are too narrow. Insertion, removal and each search take O(log n) steps; nodes are wide, so that the
/// steps are few and each touches neighbouring memory.
struct IOVARangeTree {
    struct Item {
        var first: UInt64
        var last: UInt64
        /// The widest gap inside of the subtree, in bytes; 0 for a range.
        var widestGap: UInt64 = 0
        /// The node of the subtree.
        var child = 0

        var range: ClosedRange<UInt64> { first...last }
    }

    /// The most items of a node.
    private static let width = 32

    // All nodes lie in one array, each with room for its full width, so that the tree is a few allocations in all.
    private var items: [Item] = []
    private var counts: [Int] = []
    private var spareNodes: [Int] = []
    private var root = 0
    /// The number of levels: 0 without ranges, 1 when the root is a leaf.
    private var height = 0

    // MARK: Looking

    /// The lowest range that overlaps this one.
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

    /// The lowest multiple of `alignment`, from `lowest` on, with `byteCount` free addresses up to `highest`.
    ///
    /// Where all ranges begin and end at multiples of the alignment, as with pages, it takes O(log n) steps; with a greater
    /// alignment each gap that is wide enough, and lies wrong, is a step more.
    func lowestGap(
        byteCount: UInt64, alignment: UInt64, lowest: UInt64, highest: UInt64
    ) -> UInt64? {
        var search = Search(byteCount: byteCount, alignment: alignment, highest: highest)
        search.advance(to: lowest)
        if height > 0, look(in: root, height, &search) == .found { return search.candidate }
        guard let candidate = search.candidate, highest - candidate >= byteCount - 1 else { return nil }
        return candidate
    }

    private struct Search {
        let byteCount: UInt64
        let alignment: UInt64
        let highest: UInt64
        /// Where the room may begin, not above `highest`; `nil` when no address is left.
        var candidate: UInt64?

        mutating func advance(past address: UInt64) {
            if address < highest { advance(to: address + 1) } else { candidate = nil }
        }

        mutating func advance(to address: UInt64) {
            candidate = address.roundedUp(to: alignment)
            if let aligned = candidate, aligned > highest { candidate = nil }
        }
    }

    private enum Progress { case found, goesOn, exhausted }

    private func look(in node: Int, _ level: Int, _ search: inout Search) -> Progress {
        for index in 0..<counts[node] {
            guard let candidate = search.candidate else { return .exhausted }
            let item = self[node, index]
            if item.last < candidate { continue }
            if item.first > candidate, item.first - candidate >= search.byteCount {
                return search.highest - candidate >= search.byteCount - 1 ? .found : .exhausted
            }
            if item.widestGap >= search.byteCount {
                let progress = look(in: item.child, level - 1, &search)
                if progress != .goesOn { return progress }
            }
            search.advance(past: item.last)
        }
        return .goesOn
    }

    /// Hands over each range, in order.
    func forEach(_ body: (ClosedRange<UInt64>) -> Void) {
        if height > 0 { forEach(in: root, height, body) }
    }

    private func forEach(in node: Int, _ level: Int, _ body: (ClosedRange<UInt64>) -> Void) {
        for index in 0..<counts[node] {
            let item = self[node, index]
            if level == 1 { body(item.range) } else { forEach(in: item.child, level - 1, body) }
        }
    }

    // MARK: Changing

    /// Adds a range that overlaps none.
    mutating func insert(_ range: ClosedRange<UInt64>) {
        if height == 0 {
            root = makeNode()
            height = 1
        }
        let item = Item(first: range.lowerBound, last: range.upperBound)
        guard let sibling = insert(item, into: root, height) else { return }
        let top = makeNode()
        append(summary(of: root), to: top)
        append(summary(of: sibling), to: top)
        root = top
        height += 1
    }

    /// Takes away the range that begins at `first`.
    ///
    /// - Returns: The range, or `nil` if none begins there.
    mutating func remove(beginningAt first: UInt64) -> ClosedRange<UInt64>? {
        guard height > 0, let removed = remove(first, from: root, height) else { return nil }
        while height > 1, counts[root] == 1 {
            let child = self[root, 0].child
            spareNodes.append(root)
            root = child
            height -= 1
        }
        if counts[root] == 0 {
            spareNodes.append(root)
            height = 0
        }
        return removed
    }

    /// - Returns: A new node with the upper part of the items, if the node was full.
    private mutating func insert(_ item: Item, into node: Int, _ level: Int) -> Int? {
        let position = firstIndex(in: node) { $0.first > item.first } ?? counts[node]
        guard level > 1 else { return place(item, at: position, in: node) }
        let index = max(position - 1, 0)
        let child = self[node, index].child
        let sibling = insert(item, into: child, level - 1)
        self[node, index] = summary(of: child)
        return sibling.flatMap { place(summary(of: $0), at: index + 1, in: node) }
    }

    private mutating func remove(_ first: UInt64, from node: Int, _ level: Int) -> ClosedRange<UInt64>? {
        let index = (firstIndex(in: node) { $0.first > first } ?? counts[node]) - 1
        guard index >= 0 else { return nil }
        guard level > 1 else {
            let item = self[node, index]
            guard item.first == first else { return nil }
            removeItem(at: index, of: node)
            return item.range
        }
        let child = self[node, index].child
        guard let removed = remove(first, from: child, level - 1) else { return nil }
        if counts[child] == 0 {
            spareNodes.append(child)
            removeItem(at: index, of: node)
        } else {
            self[node, index] = summary(of: child)
            if counts[child] < Self.width / 4 { mergeChild(at: index, of: node) }
        }
        return removed
    }

    /// Joins a child that has few items with a neighbour, if they fit into one node with room to grow.
    private mutating func mergeChild(at index: Int, of node: Int) {
        for left in [index, index - 1] where left >= 0 && left + 1 < counts[node] {
            let (lower, upper) = (self[node, left].child, self[node, left + 1].child)
            guard counts[lower] + counts[upper] <= Self.width * 3 / 4 else { continue }
            for position in 0..<counts[upper] { append(self[upper, position], to: lower) }
            spareNodes.append(upper)
            self[node, left] = summary(of: lower)
            removeItem(at: left + 1, of: node)
            return
        }
    }

    // MARK: Nodes

    private subscript(node: Int, index: Int) -> Item {
        get { items[node * Self.width + index] }
        set { items[node * Self.width + index] = newValue }
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

    /// What an inner node says of a node.
    private func summary(of node: Int) -> Item {
        let first = self[node, 0]
        var last = first.last
        var widestGap = first.widestGap
        for index in 1..<max(counts[node], 1) {
            let item = self[node, index]
            widestGap = max(widestGap, item.widestGap, item.first - last - 1)
            last = item.last
        }
        return Item(first: first.first, last: last, widestGap: widestGap, child: node)
    }

    private mutating func append(_ item: Item, to node: Int) {
        self[node, counts[node]] = item
        counts[node] += 1
    }

    private mutating func removeItem(at position: Int, of node: Int) {
        for index in position..<(counts[node] - 1) { self[node, index] = self[node, index + 1] }
        counts[node] -= 1
    }

    /// - Returns: A new node with the upper part of the items, if the node was full.
    private mutating func place(_ item: Item, at position: Int, in node: Int) -> Int? {
        guard counts[node] == Self.width else {
            counts[node] += 1
            for index in stride(from: counts[node] - 1, to: position, by: -1) {
                self[node, index] = self[node, index - 1]
            }
            self[node, position] = item
            return nil
        }
        let sibling = makeNode()
        // Addresses that only rise fill each node before the next one is begun.
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
