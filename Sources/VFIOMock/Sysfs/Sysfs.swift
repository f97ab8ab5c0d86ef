import SystemPackage

/// The kernel's files: sysfs, and the parts of `/dev` and `/proc` that VFIO uses.
///
/// The tree knows nothing of devices: each kernel object adds its entries, and removes them when it is removed.
final class Sysfs {
    /// A node. A write returns whether it is complete; otherwise it must be retried later.
    enum Node {
        case folder
        case attribute(read: (() -> [UInt8])?, write: ((String) throws(Errno) -> Bool)?)
        /// A link to an absolute path. It reads as a relative one, as in the kernel.
        case link(to: String)
        /// A device node, which can be opened and not read.
        case device(Open)

        /// An attribute that is read as a line of text.
        static func text(
            _ text: @autoclosure @escaping () -> String, write: ((String) throws(Errno) -> Bool)? = nil
        ) -> Node {
            .attribute(read: { Array((text() + "\n").utf8) }, write: write)
        }
    }

    typealias Open = () throws(Errno) -> any FileOperations
    typealias Entry = (path: String, node: Node)

    private final class Item {
        let node: Node
        var children: [String: Item] = [:]
        /// How often it was added; 0 for a folder that exists only for its contents.
        var count = 0

        init(_ node: Node) { self.node = node }
    }

    private let root = Item(.folder)
    /// The number of nodes made so far.
    private(set) var madeNodeCount = 0

    /// Whether a path belongs to the mock.
    static func covers(_ path: FilePath) -> Bool {
        let text = path.string
        return ["/sys", "/dev/iommu", "/dev/kvm", "/dev/vfio", "/proc/sys/kernel/osrelease"].contains(text)
            || text.hasPrefix("/sys/") || text.hasPrefix("/dev/vfio/") || text.hasPrefix("/lib/modules/")
    }

    // MARK: Changing

    /// Adds entries and their folders. An entry that several objects add, such as a group's folder, stays until each
    /// has removed it.
    func add(_ entries: [Entry]) {
        for (path, node) in entries { add(path, node) }
    }

    private func add(_ path: String, _ node: Node) {
        var item = root
        let names = path.split(separator: "/").map(String.init)
        for (index, name) in names.enumerated() {
            guard case .folder = item.node else { preconditionFailure("\(path) is not in a folder") }
            if item.children[name] == nil {
                item.children[name] = Item(index == names.count - 1 ? node : .folder)
                madeNodeCount += 1
            }
            item = item.children[name]!
        }
        item.count += 1
    }

    /// Adds an attribute of one line of text, which may be writable.
    func addText(
        _ path: String, _ text: @autoclosure @escaping () -> String, write: ((String) throws(Errno) -> Bool)? = nil
    ) {
        add(path, .text(text(), write: write))
    }

    func addFlag(
        _ path: String, _ words: (on: String, off: String), _ value: @autoclosure @escaping () -> Bool,
        set: @escaping (Bool) -> Void
    ) {
        addText(path, value() ? words.on : words.off) { (text) throws(Errno) in
            switch text {
            case "Y", "y", "1": set(true)
            case "N", "n", "0": set(false)
            default: throw .invalidArgument
            }
            return true
        }
    }

    /// Adds a write-only attribute.
    func addAction(_ path: String, _ write: @escaping (String) throws(Errno) -> Bool) {
        add(path, .attribute(read: nil, write: write))
    }

    /// Removes entries, folders with their contents.
    func remove(_ entries: [Entry]) {
        for (path, _) in entries {
            var names = path.split(separator: "/").map(String.init)
            let last = names.removeLast()
            let folder = names.reduce(root) { (folder: Item?, name) in folder?.children[name] }
            guard let folder, let item = folder.children[last] else { continue }
            item.count -= 1
            if item.count <= 0 { folder.children[last] = nil }
        }
    }

    // MARK: Reading

    /// Returns an item and the names of its folders. Links on the way are followed, the last one only if `followsLast`.
    private func find(
        _ path: FilePath, followsLast: Bool = true
    ) throws(Errno) -> (item: Item, folders: [Substring]) {
        var pending: [Substring] = path.string.split(separator: "/").reversed()
        var trail: [(name: Substring, item: Item)] = []
        var hops = 0
        while let name = pending.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = trail.popLast()
                continue
            }
            let folder = trail.last?.item ?? root
            guard case .folder = folder.node else { throw .notDirectory }
            guard let child = folder.children[String(name)] else { throw .noSuchFileOrDirectory }
            if case .link(let target) = child.node, followsLast || !pending.isEmpty {
                hops += 1
                if hops > 40 { throw .tooManySymbolicLinkLevels }
                trail = []
                pending += target.split(separator: "/").reversed()
                continue
            }
            trail.append((name, child))
        }
        return (trail.last?.item ?? root, trail.dropLast().map(\.name))
    }

    func link(_ path: FilePath) throws(Errno) -> String {
        let (item, from) = try find(path, followsLast: false)
        guard case .link(let target) = item.node else { throw .invalidArgument }
        let to = target.split(separator: "/")
        let common = zip(from, to).prefix { $0 == $1 }.count
        return (Array(repeating: "..", count: from.count - common) + to[common...]).joined(separator: "/")
    }

    func contents(_ path: FilePath) throws(Errno) -> [UInt8] {
        switch try find(path).item.node {
        case .attribute(let read?, _): return read()
        case .attribute: throw .permissionDenied
        case .folder: throw .isDirectory
        case .device, .link: throw .invalidArgument
        }
    }

    func device(_ path: FilePath) throws(Errno) -> Open? {
        if case .device(let open) = try find(path).item.node { open } else { nil }
    }

    func isFolder(_ path: FilePath) throws(Errno) -> Bool {
        if case .folder = try find(path).item.node { true } else { false }
    }

    func names(_ path: FilePath) throws(Errno) -> [String] {
        let item = try find(path).item
        guard case .folder = item.node else { throw .notDirectory }
        return item.children.keys.sorted()
    }

    // MARK: Writing

    /// Writes an attribute and returns whether the write is complete; otherwise it must be retried later.
    func write(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) -> Bool {
        switch try find(path).item.node {
        case .attribute(_, let write?):
            var text = String(decoding: bytes, as: UTF8.self)
            while text.last == "\n" || text.last == "\0" { text.removeLast() }
            return try write(text)
        case .folder: throw .isDirectory
        case .attribute, .device, .link: throw .permissionDenied
        }
    }
}
