/// The topology in Graphviz format: `vfioctl topology --format dot | dot -Tsvg`.
struct DOTDrawing {
    let tree: TopologyTree

    func text() -> String {
        var lines = ["digraph pci {", "  rankdir=LR;", "  node [shape=box, fontname=\"sans-serif\"];"]
        for root in tree.roots {
            lines.append("  \(Self.quoted(root.name)) [shape=plaintext];")
            for place in root.nodes {
                let row = tree.nodes[place].row
                let label = "\(row.address)\n\(row.title)\n\(row.driver ?? "no driver")"
                lines.append("  \(Self.quoted(row.address)) [label=\(Self.quoted(label))];")
                let parent = tree.nodes[place].parent.map { tree.nodes[$0].row.address } ?? root.name
                lines.append("  \(Self.quoted(parent)) -> \(Self.quoted(row.address));")
            }
        }
        for (group, members) in tree.sharedGroups {
            lines.append("  subgraph \(Self.quoted("cluster_\(group)")) {")
            lines.append("    label=\(Self.quoted("IOMMU group \(group)"));")
            for place in members { lines.append("    \(Self.quoted(tree.nodes[place].row.address));") }
            lines.append("  }")
        }
        lines.append("}")
        return lines.joined(separator: "\n")
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.reduce(into: "") { result, character in
            switch character {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
        return "\"\(escaped)\""
    }
}
