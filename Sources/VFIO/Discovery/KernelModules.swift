internal import SystemPackage

/// The modules that are installed for the running kernel.
package struct KernelModules {
    package enum State: Sendable {
        /// `modprobe` finds it.
        case loadable
        /// It is part of the kernel itself, and `modprobe` does nothing.
        case builtIn
        /// It is not installed. The kernel may have been built without it, or its package is missing.
        case missing
    }

    private let loadable: Set<String>
    private let builtIn: Set<String>

    package init(kernel: any Kernel) {
        let release = (try? kernel.readFile("/proc/sys/kernel/osrelease")).map {
            String(decoding: $0.prefix { $0 > 32 }, as: UTF8.self)
        }
        func names(in file: String) -> Set<String> {
            guard let release, let list = try? kernel.readFile(FilePath("/lib/modules/\(release)/\(file)")) else {
                return []
            }
            // A line of modules.dep is "kernel/drivers/vfio/pci/vfio-pci.ko.xz: …".
            let lines = String(decoding: list, as: UTF8.self).split(separator: "\n")
            return Set(
                lines.map { line in
                    let name = line.prefix { $0 != ":" }.split(separator: "/").last?.prefix { $0 != "." } ?? ""
                    return Self.normalized(String(name))
                })
        }
        loadable = names(in: "modules.dep")
        builtIn = names(in: "modules.builtin")
    }

    /// modprobe takes `-` and `_` for the same.
    private static func normalized(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }

    package func state(of name: String) -> State {
        let name = Self.normalized(name)
        return loadable.contains(name) ? .loadable : builtIn.contains(name) ? .builtIn : .missing
    }
}
