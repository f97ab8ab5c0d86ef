import VFIO

/// The tree of a machine's PCI functions, in drawing order.
struct TopologyTree {
    struct Node {
        let row: DeviceRow
        let state: VFIOState
        let isBridge: Bool
        /// The depth; 0 on a root bus.
        let depth: Int
        /// The index of the parent in ``nodes``; `nil` on a root bus.
        let parent: Int?
        /// Whether it is the last child of its parent.
        let isLast: Bool
    }

    /// A root bus, and the range of its nodes.
    struct Root {
        /// The kernel's name, such as `pci0000:00`.
        let name: String
        let nodes: Range<Int>
    }

    private(set) var nodes: [Node] = []
    private(set) var roots: [Root] = []

    init(_ functions: [PCIFunctionInfo], _ names: PCINames) {
        let known = Set(functions.map(\.address))
        let children = Dictionary(grouping: functions) { function in
            // A function whose parent has been removed meanwhile is placed on the root bus.
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
            // Terminates, even for inconsistent sysfs data: the links form a tree, and each function has one parent.
            add(children[function.address] ?? [], below: nodes.count - 1, depth: depth + 1, children, functions, names)
        }
    }

    /// The groups with more than one function, with the indices of their members.
    var sharedGroups: [(group: Int, members: [Int])] {
        Dictionary(grouping: nodes.indices.filter { nodes[$0].row.iommuGroup != nil }) { nodes[$0].row.iommuGroup! }
            .filter { $0.value.count > 1 }
            .sorted { $0.key < $1.key }
            .map { (group: $0.key, members: $0.value) }
    }
}
