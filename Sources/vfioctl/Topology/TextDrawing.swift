/// The topology as text: the tree on the left, and braces around shared IOMMU groups on the right.
struct TextDrawing {
    let tree: TopologyTree
    let style: Style

    func lines() -> [String] {
        var lines: [String] = []
        let width = tree.nodes.indices.map { Self.left(tree, $0).count }.max() ?? 0
        for root in tree.roots {
            lines.append(style.paint(root.name, .bold))
            for place in root.nodes { lines.append(line(place, width)) }
        }
        for (group, members) in tree.sharedGroups {
            let addresses = members.map { tree.nodes[$0].row.address }.joined(separator: ", ")
            lines.append("")
            lines.append("IOMMU group \(group) is shared: a program gets all of \(addresses), or none.")
        }
        return lines
    }

    private func line(_ place: Int, _ width: Int) -> String {
        let node = tree.nodes[place]
        let left = Self.left(tree, place)
        let padding = String(repeating: " ", count: width - left.count)
        let driver = node.row.driver ?? "no driver"
        let title = node.isBridge ? style.paint(left, .dim) : left
        let group = node.row.iommuGroup.map { "group \($0)" } ?? "no group"
        return "\(title)\(padding)  \(brace(place)) \(group)  \(style.paint(driver, colour(node.state)))"
    }

    private static func left(_ tree: TopologyTree, _ place: Int) -> String {
        let node = tree.nodes[place]
        var branches = node.isLast ? "└─ " : "├─ "
        var parent = node.parent
        while let above = parent {
            branches = (tree.nodes[above].isLast ? "   " : "│  ") + branches
            parent = tree.nodes[above].parent
        }
        return "\(branches)\(node.row.address)  \(node.row.className): \(node.row.title)"
    }

    /// Joins adjacent functions of one group.
    private func brace(_ place: Int) -> String {
        func isSame(_ other: Int) -> Bool {
            tree.nodes.indices.contains(other) && tree.nodes[place].row.iommuGroup != nil
                && tree.nodes[other].row.iommuGroup == tree.nodes[place].row.iommuGroup
        }
        return switch (isSame(place - 1), isSame(place + 1)) {
        case (false, false): " "
        case (false, true): "┌"
        case (true, true): "│"
        case (true, false): "└"
        }
    }

    private func colour(_ state: VFIOState) -> Style.Colour {
        switch state {
        case .ready: .green
        case .inUse: .cyan
        case .blocked, .noIOMMU: .red
        case .free: .yellow
        case .taken: .dim
        }
    }
}
