import SystemPackage
import VFIO

/// The files of the kernel: sysfs, and the folders of `/dev` and `/proc` that VFIO has to do with.
///
/// The tree is made anew for each call, from the state that there is.
struct Sysfs {
    final class Node {
        enum Content {
            case folder([String: Node])
            case attribute([UInt8])
            case link(String)
            /// A device node, which is opened and not read.
            case device
        }
        var content: Content
        /// What a write does: whether it is done, or has to be tried again later.
        var write: (([UInt8]) throws(Errno) -> Bool)?
        var isReadable = true

        init(_ content: Content) { self.content = content }
    }

    private let root = Node(.folder([:]))

    init(_ core: Core) {
        let builder = SysfsBuilder(core, self)
        builder.build()
    }

    /// Whether a path is the mock's to answer.
    static func covers(_ path: FilePath) -> Bool {
        let text = path.string
        return text == "/sys" || text.hasPrefix("/sys/") || text == "/dev/iommu" || text == "/dev/vfio"
            || text.hasPrefix("/dev/vfio/") || text == "/proc/sys/kernel/osrelease"
    }

    // MARK: Building

    func add(_ path: String, _ content: Node.Content) {
        var node = root
        let names = path.split(separator: "/").map(String.init)
        for (index, name) in names.enumerated() {
            guard case .folder(var children) = node.content else { return }
            if let child = children[name] {
                node = child
            } else {
                let child = Node(index == names.count - 1 ? content : .folder([:]))
                children[name] = child
                node.content = .folder(children)
                node = child
            }
        }
    }

    func addFolder(_ path: String) { add(path, .folder([:])) }

    func addAttribute(_ path: String, _ text: String) { add(path, .attribute(Array((text + "\n").utf8))) }

    func addWritable(
        _ path: String, _ text: String?, _ write: @escaping ([UInt8]) throws(Errno) -> Bool
    ) {
        addAttribute(path, text ?? "")
        guard let node = try? find(FilePath(path)) else { return }
        node.write = write
        node.isReadable = text != nil
    }

    /// A link, relative as the kernel makes them.
    func addLink(_ path: String, to target: String) {
        let from = path.split(separator: "/").dropLast()
        let to = target.split(separator: "/")
        let common = zip(from, to).prefix { $0 == $1 }.count
        let steps = Array(repeating: "..", count: from.count - common) + to[common...].map(String.init)
        add(path, .link(steps.joined(separator: "/")))
    }

    // MARK: Reading

    /// Finds a node. Links on the way are followed, and the last one too if asked.
    private func find(_ path: FilePath, followsLast: Bool = true) throws(Errno) -> Node {
        var pending = Array(path.string.split(separator: "/").map(String.init).reversed())
        var trail: [(String, Node)] = []
        var node = root
        var hops = 0
        while let name = pending.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = trail.popLast()
                node = trail.last?.1 ?? root
                continue
            }
            guard case .folder(let children) = node.content else { throw .notDirectory }
            guard let child = children[name] else { throw .noSuchFileOrDirectory }
            if case .link(let target) = child.content, followsLast || !pending.isEmpty {
                hops += 1
                if hops > 40 { throw .tooManySymbolicLinkLevels }
                pending += target.split(separator: "/").map(String.init).reversed()
                continue
            }
            trail.append((name, child))
            node = child
        }
        return node
    }

    func link(_ path: FilePath) throws(Errno) -> String {
        guard case .link(let target) = try find(path, followsLast: false).content else { throw .invalidArgument }
        return target
    }

    func contents(_ path: FilePath) throws(Errno) -> [UInt8] {
        let node = try find(path)
        switch node.content {
        case .attribute(let bytes):
            if !node.isReadable { throw .permissionDenied }
            return bytes
        case .folder: throw .isDirectory
        case .device, .link: throw .invalidArgument
        }
    }

    func isFolder(_ path: FilePath) throws(Errno) -> Bool {
        if case .folder = try find(path).content { true } else { false }
    }

    func names(_ path: FilePath) throws(Errno) -> [String] {
        guard case .folder(let children) = try find(path).content else { throw .notDirectory }
        return children.keys.sorted()
    }

    // MARK: Writing

    /// Writes an attribute.
    ///
    /// - Returns: Whether it is done; `false` when it has to be tried again later.
    func write(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) -> Bool {
        let node = try find(path)
        if case .folder = node.content { throw .isDirectory }
        guard let write = node.write else { throw .permissionDenied }
        return try write(bytes)
    }
}
