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
        for process in ((try? kernel.names(in: "/proc")) ?? []).compactMap({ Int($0) }).sorted() {
            let folder = FilePath("/proc/\(process)/fd")
            // A process may end, or be another user's.
            let targets = ((try? kernel.names(in: folder)) ?? []).compactMap { descriptor in
                (try? kernel.readLink(folder.appending(descriptor)))?.string
            }
            for node in nodes.intersection(targets).sorted() {
                holders.append((process, name(of: process), node))
            }
        }
        return holders
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
