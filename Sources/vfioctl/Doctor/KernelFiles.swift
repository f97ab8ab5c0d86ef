import SystemPackage
import VFIO

/// Files of `/proc`, `/sys` and `/dev` as the doctor asks for them: what cannot be read is not there for it.
struct KernelFiles {
    let kernel: any Kernel

    func text(_ path: String) -> String? {
        guard let bytes = try? kernel.readFile(FilePath(path)) else { return nil }
        var text = String(decoding: bytes, as: UTF8.self)
        while text.last == "\n" || text.last == "\0" { text.removeLast() }
        return text
    }

    func names(_ path: String) -> [String]? { try? kernel.names(in: FilePath(path)) }

    /// The value of a line of `/proc/self/status`.
    func status(_ name: String) -> String? {
        let lines = text("/proc/self/status")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix(name + ":") }) else { return nil }
        return line.dropFirst(name.count + 1).split(separator: "\t").first.map(String.init)
    }

    /// The number of the user who runs this program.
    var user: String { status("Uid") ?? "$USER" }

    /// Opens a device node as a program would, and closes it. `nil` when that works.
    func failureToOpen(_ path: String) -> Errno? {
        do throws(Errno) {
            try kernel.close(kernel.open(FilePath(path), .readWrite))
            return nil
        } catch {
            return error
        }
    }
}
