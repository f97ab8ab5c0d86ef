import VFIO

/// The PCI functions of a machine as they hang below one another, in the order in which they are drawn.
struct TopologyTree {
    struct Node {
        let row: DeviceRow
        let state: VFIOState
        let isBridge: Bool
        /// 0 on a root bus.
        let depth: Int
        /// The place of its parent in ``nodes``; `nil` on a root bus.
        let parent: Int?
        /// Whether nothing more comes below the same parent.
        let isLast: Bool
    }

    /// A root bus, and where its nodes are.
    struct Root {
        /// As the kernel names it: `pci0000:00`.
        let name: String
        let nodes: Range<Int>
    }

    private(set) var nodes: [Node] = []
    private(set) var roots: [Root] = []

    init(_ functions: [PCIFunctionInfo], _ names: PCINames) {
        let known = Set(functions.map(\.address))
        let children = Dictionary(grouping: functions) { function in
            // A parent that vanished meanwhile leaves its children on the root bus.
            function.parent.flatMap { known.contains($0) ? $0 : nil }
        }
        let top = Dictionary(grouping: children[nil] ?? []) { Self.rootName($0.address) }
        for (name, members) in top.sorted(by: { $0.key < $1.key }) {
            let start = nodes.count
            add(members, below: nil, depth: 0, children, functions, names)
            roots.append(Root(name: name, nodes: start..<nodes.count))
        }
    }

    private static func rootName(_ address: PCIAddress) -> String {
        "pci\(Hexadecimal.text(address.domain, digits: 4)):\(Hexadecimal.text(address.bus))"
    }

    private mutating func add(
        _ members: [PCIFunctionInfo], below parent: Int?, depth: Int,
        _ children: [PCIAddress?: [PCIFunctionInfo]], _ functions: [PCIFunctionInfo], _ names: PCINames
    ) {
        let members = members.sorted { $0.address < $1.address }
        for (place, function) in members.enumerated() {
            let state = VFIOState(of: function, among: functions)
            nodes.append(
                Node(
                    row: DeviceRow(function, names, state), state: state, isBridge: function.isBridge, depth: depth,
                    parent: parent, isLast: place == members.count - 1))
            // No function is below itself, however odd sysfs is: a tree of links has no cycles, and a parent is named once.
            add(children[function.address] ?? [], below: nodes.count - 1, depth: depth + 1, children, functions, names)
        }
    }

    /// The groups that more than one function is in, with the places of their members.
    var sharedGroups: [(group: Int, members: [Int])] {
        Dictionary(grouping: nodes.indices.filter { nodes[$0].row.iommuGroup != nil }) { nodes[$0].row.iommuGroup! }
            .filter { $0.value.count > 1 }
            .sorted { $0.key < $1.key }
            .map { (group: $0.key, members: $0.value) }
    }
}
