internal import SystemPackage

/// The processes that have nodes of `/dev` open, among those that this user may inspect.
package struct OpenNodes {
    private let kernel: any Kernel

    package init(kernel: any Kernel) { self.kernel = kernel }

    /// A process that has a node open.
    package typealias Holder = (process: Int, name: String, node: String)

    /// Returns each process with each of the nodes that it has open, once.
    package func holders(of nodes: Set<String>) -> [Holder] {
        guard !nodes.isEmpty else { return [] }
        var holders: [Holder] = []
        for process in processes {
            for node in Set(descriptors(of: process).values).intersection(nodes).sorted() {
                holders.append((process, name(of: process), node))
            }
        }
        return holders
    }

    /// Returns whether a node is open by another descriptor than one of this process.
    func isOpen(_ node: String, apartFrom own: FileDescriptor) -> Bool {
        // The number that /proc has for this process, which may be that of another namespace.
        let me = (try? kernel.readLink("/proc/self"))?.lastComponent?.string
        return processes.contains { process in
            descriptors(of: process).contains { (descriptor, target) in
                target == node && !("\(process)" == me && descriptor == "\(own.rawValue)")
            }
        }
    }

    private var processes: [Int] {
        ((try? kernel.names(in: "/proc")) ?? []).compactMap { Int($0) }.sorted()
    }

    /// The targets of a process's descriptors; none of a process that ends, or is another user's.
    private func descriptors(of process: Int) -> [String: String] {
        let folder = FilePath("/proc/\(process)/fd")
        var targets: [String: String] = [:]
        for descriptor in (try? kernel.names(in: folder)) ?? [] {
            targets[descriptor] = (try? kernel.readLink(folder.appending(descriptor)))?.string
        }
        return targets
    }

    /// The name of a process, without control characters: a process can choose its own name.
    private func name(of process: Int) -> String {
        guard let bytes = try? kernel.readFile(FilePath("/proc/\(process)/comm")) else {
            return "process"
        }
        let text = String(decoding: bytes, as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.filter(Self.isPrintable)))
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate,
            .unassigned:
            false
        default: true
        }
    }
}
