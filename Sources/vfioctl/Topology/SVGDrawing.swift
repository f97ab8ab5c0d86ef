/// The topology as an SVG image: a box for each function, lines to its parent, and a coloured frame around each shared
/// IOMMU group.
struct SVGDrawing {
    let tree: TopologyTree

    private enum Size {
        static let row = 52
        static let box = 40
        static let indent = 44
        static let width = 560
        static let margin = 24
        static let root = 34
        static let groupColumn = 110
    }

    func text() -> String {
        var tops: [Int] = []
        var y = Size.margin
        var body: [String] = []
        for root in tree.roots {
            body.append(label(root.name, x: Size.margin, y: y + 20, "root"))
            let rootTop = y + 26
            y += Size.root
            for place in root.nodes {
                tops.append(y)
                body.append(connector(place, tops, rootTop))
                y += Size.row
            }
            y += Size.margin / 2
        }
        let depth = tree.nodes.map(\.depth).max() ?? 0
        let boxEnd = Size.margin + (depth + 1) * Size.indent + Size.width
        let frames = groupFrames(tops, boxEnd)
        let boxes = tree.nodes.indices.map { box($0, top: tops[$0], end: boxEnd) }
        let legendTop = y + 8
        let height = legendTop + 40
        let width = boxEnd + Size.groupColumn + Size.margin
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" \
            role="img" aria-label="PCI topology with IOMMU groups">
            <style>
            text { font: 13px sans-serif; fill: #1f2933 }
            .root { font-weight: bold; font-size: 14px }
            .address { font-family: monospace; font-weight: bold }
            .title { font-size: 12px; fill: #52606d }
            .driver { font-size: 12px; font-weight: bold; fill: #ffffff; text-anchor: middle }
            .group { font-size: 12px }
            </style>
            <rect width="100%" height="100%" fill="#ffffff"/>
            \(frames.joined(separator: "\n"))
            \(body.joined(separator: "\n"))
            \(boxes.joined(separator: "\n"))
            \(legend(top: legendTop))
            </svg>
            """
    }

    // MARK: Parts

    private func x(_ place: Int) -> Int { Size.margin + (tree.nodes[place].depth + 1) * Size.indent }

    /// The line from the parent, or from the root bus.
    private func connector(_ place: Int, _ tops: [Int], _ rootTop: Int) -> String {
        let middle = tops[place] + Size.box / 2
        let from = x(place) - Size.indent + 12
        let start = tree.nodes[place].parent.map { tops[$0] + Size.box } ?? rootTop
        return
            "<path d=\"M\(from) \(start) V\(middle) H\(x(place))\" fill=\"none\" stroke=\"#9aa5b1\" stroke-width=\"1.5\"/>"
    }

    private func box(_ place: Int, top: Int, end: Int) -> String {
        let node = tree.nodes[place]
        let left = x(place)
        let driver = node.row.driver ?? "no driver"
        let pill = max(70, driver.count * 8 + 16)
        let fill = node.isBridge ? "#f5f7fa" : "#ffffff"
        let group = node.row.iommuGroup.map { "group \($0)" } ?? "no group"
        return """
            <rect x="\(left)" y="\(top)" width="\(end - left)" height="\(Size.box)" rx="6" fill="\(fill)" stroke="#9aa5b1"/>
            \(label(node.row.address, x: left + 10, y: top + 17, "address"))
            \(label(clipped("\(node.row.className): \(node.row.title)", to: end - left - pill - 30), x: left + 10, y: top + 33, "title"))
            <rect x="\(end - pill - 8)" y="\(top + 9)" width="\(pill)" height="22" rx="11" fill="\(colour(node.state))"/>
            \(label(driver, x: end - pill / 2 - 8, y: top + 24, "driver"))
            \(label(group, x: end + 16, y: top + 24, "group"))
            """
    }

    /// A frame around each run of adjacent functions of a shared group.
    private func groupFrames(_ tops: [Int], _ end: Int) -> [String] {
        var frames: [String] = []
        for (number, shared) in tree.sharedGroups.enumerated() {
            var runs: [ClosedRange<Int>] = []
            for member in shared.members {
                if let last = runs.last, last.upperBound == member - 1 {
                    runs[runs.count - 1] = last.lowerBound...member
                } else {
                    runs.append(member...member)
                }
            }
            let hue = (number * 137 + 210) % 360
            for run in runs {
                let left = run.map(x).min()! - 8
                let top = tops[run.lowerBound] - 5
                let height = tops[run.upperBound] + Size.box + 5 - top
                frames.append(
                    "<rect x=\"\(left)\" y=\"\(top)\" width=\"\(end + Size.groupColumn - left)\" height=\"\(height)\" rx=\"10\" "
                        + "fill=\"hsl(\(hue),70%,95%)\" stroke=\"hsl(\(hue),60%,55%)\" stroke-width=\"2\"/>")
            }
        }
        return frames
    }

    private func legend(top: Int) -> String {
        let entries: [(VFIOState, String)] = [
            (.ready, "ready for VFIO"), (.inUse, "in use by a program"), (.blocked, "blocked, or unprotected"),
            (.free, "no driver"), (.taken, "held by the kernel"),
        ]
        var left = Size.margin
        var parts: [String] = []
        for (state, text) in entries {
            parts.append(
                "<rect x=\"\(left)\" y=\"\(top)\" width=\"14\" height=\"14\" rx=\"7\" fill=\"\(colour(state))\"/>"
                    + label(text, x: left + 20, y: top + 12, "title"))
            left += 44 + text.count * 6
        }
        return parts.joined(separator: "\n")
    }

    private func label(_ text: String, x: Int, y: Int, _ style: String) -> String {
        "<text class=\"\(style)\" x=\"\(x)\" y=\"\(y)\">\(Self.escaped(text))</text>"
    }

    private func colour(_ state: VFIOState) -> String {
        switch state {
        case .ready: "#2f855a"
        case .inUse: "#2b6cb0"
        case .blocked, .noIOMMU: "#c53030"
        case .free: "#b7791f"
        case .taken: "#718096"
        }
    }

    /// The part of a text that fits, at about seven pixels a letter.
    private func clipped(_ text: String, to width: Int) -> String {
        let count = width / 7
        return text.count <= count ? text : text.prefix(max(1, count - 1)) + "…"
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
    }
}
