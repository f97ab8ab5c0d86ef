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
    var user: String? { status("Uid") }

    /// The name of a process, which it chose itself: without what a terminal would take for orders.
    func processName(_ process: String) -> String? {
        text("/proc/\(process)/comm").map { name in
            String(String.UnicodeScalarView(name.unicodeScalars.filter(Self.isPrintable)))
        }
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
        default: true
        }
    }

    // MARK: VFIO

    /// The IOMMU groups, without those that vfio has made up for devices that have no IOMMU (no-IOMMU mode).
    var groups: [String] {
        let madeUp = names("/sys/class/vfio") ?? []
        return (names("/sys/kernel/iommu_groups") ?? []).filter { !madeUp.contains("noiommu-\($0)") }
    }

    /// Whether this kernel gives devices no nodes of their own, so that the library goes through their groups. Devices that
    /// vfio holds tell; without one it is not known, and taken for no.
    var lacksDeviceNodes: Bool {
        let folder = "/sys/class/vfio-dev"
        guard let devices = names(folder), !devices.isEmpty else { return false }
        return devices.allSatisfy { device in names("\(folder)/\(device)")?.contains("dev") != true }
    }

    /// Opens a device node as a program would, and closes it. `nil` when that works.
    func failureToOpen(_ path: String) -> Errno? {
        do throws(Errno) {
            try kernel.close(kernel.open(FilePath(path), .readWrite))
            return nil
        } catch { return error }
    }

    /// Whether a failure to open a node says that nothing is behind it. Some nodes are made before their module is loaded.
    static func isMissing(_ error: Errno?) -> Bool {
        error == .noSuchFileOrDirectory || error == .noSuchAddressOrDevice || error == .operationNotSupportedByDevice
    }
}
