import SystemPackage
import VFIO

/// Reads files of `/proc`, `/sys` and `/dev` for the checks. Unreadable files are treated as missing.
struct KernelFiles {
    let kernel: any Kernel

    func text(_ path: String) -> String? {
        guard let bytes = try? kernel.readFile(FilePath(path)) else { return nil }
        var text = String(decoding: bytes, as: UTF8.self)
        while text.last == "\n" || text.last == "\0" { text.removeLast() }
        return text
    }

    func names(_ path: String) -> [String]? { try? kernel.names(in: FilePath(path)) }

    /// The value of a field of `/proc/self/status`.
    func status(_ name: String) -> String? {
        let lines = text("/proc/self/status")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix(name + ":") }) else { return nil }
        return line.dropFirst(name.count + 1).split(separator: "\t").first.map(String.init)
    }

    /// The first two numbers of the kernel's release.
    var version: (major: Int, minor: Int)? { PCIBus(kernel: kernel).kernelVersion }

    /// The real user ID.
    var user: String? { status("Uid") }

    // MARK: VFIO

    /// The IOMMU groups, without those that vfio creates in no-IOMMU mode.
    var groups: [String] {
        let madeUp = names("/sys/class/vfio") ?? []
        return (names("/sys/kernel/iommu_groups") ?? []).filter { !madeUp.contains("noiommu-\($0)") }
    }

    /// Whether this kernel provides no device nodes, so that the library opens groups. It is known only if a device is
    /// bound to a vfio driver; `false` otherwise.
    var lacksDeviceNodes: Bool {
        let folder = "/sys/class/vfio-dev"
        guard let devices = names(folder), !devices.isEmpty else { return false }
        return devices.allSatisfy { device in names("\(folder)/\(device)")?.contains("dev") != true }
    }

    /// Opens a device node as a program would, and closes it. Returns `nil` on success.
    func failureToOpen(_ path: String) -> Errno? {
        do throws(Errno) {
            try kernel.close(kernel.open(FilePath(path), .readWrite))
            return nil
        } catch { return error }
    }

    /// Whether the error of opening a node means that it has no driver. Some nodes exist before their module is loaded.
    static func isMissing(_ error: Errno?) -> Bool {
        error == .noSuchFileOrDirectory || error == .noSuchAddressOrDevice || error == .operationNotSupportedByDevice
    }
}
