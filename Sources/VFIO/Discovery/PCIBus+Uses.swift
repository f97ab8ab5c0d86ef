internal import Glibc
internal import SystemPackage

extension PCIBus {
    /// Returns the uses of a device by the machine, to avoid unbinding a disk that is in use.
    ///
    /// Checks mounts, swap, holders and exclusive owners of block devices; flags, links, addresses, routes and upper
    /// devices of network interfaces; the firmware's choice of display, and monitors; the device's nodes in `/dev`
    /// (graphics, sound, disks, video, InfiniBand) that programs have open; and virtual functions. If something cannot be
    /// read, this throws instead of reporting the device as unused; what the kernel does not have counts as unused, and
    /// so do the programs of other users, which only root sees.
    ///
    /// - Throws: `.notFound` if there is no such device.
    public func uses(of address: PCIAddress) throws(VFIOError) -> [DeviceUse] {
        let function = try function(at: address)
        let reader = UseReader(kernel: kernel, address: address)
        var uses =
            try reader.blockDevices() + reader.networkInterfaces() + reader.monitors()
            + reader.openNodes()
        if function.isBootDisplay { uses.append(.bootDisplay) }
        if function.isBoundToVFIO { uses += reader.programs(with: function) }
        if !function.virtualFunctions.isEmpty { uses.append(.virtualFunctions(count: function.virtualFunctions.count)) }
        return uses
    }
}

/// Reads the uses of one device's block devices and network interfaces.
private struct UseReader {
    let kernel: any Kernel
    let address: PCIAddress

    // MARK: Block devices

    func blockDevices() throws(VFIOError) -> [DeviceUse] {
        var devices = try children(of: "/sys/class/block")
        guard !devices.isEmpty else { return [] }
        // With NVMe multipath the device has only a hidden path; the disk and its partitions are in another directory.
        for head in devices.compactMap(Self.head) {
            devices.append(head)
            devices += try names(in: FilePath("/sys/class/block/\(head)")).filter { $0.hasPrefix(head) }
        }
        let mounts = try lines(of: "/proc/self/mountinfo").compactMap(Mount.init)
        let swaps = try lines(of: "/proc/swaps").compactMap { $0.split(separator: " ").first }
        var uses: [DeviceUse] = []
        for device in devices {
            let folder = FilePath("/sys/class/block/\(device)")
            let number = try lines(of: folder.appending("dev")).first
            var found: [DeviceUse] = []
            // Some file systems have their own device numbers, and name the disk as their source.
            if let mount = mounts.first(where: { $0.number == number || $0.source == "/dev/\(device)" }) {
                found.append(.mounted(blockDevice: device, at: mount.place))
            }
            if swaps.contains("/dev/\(device)") { found.append(.swap(blockDevice: device)) }
            for holder in try names(in: folder.appending("holders")) {
                found.append(.partOf(blockDevice: device, holder: holder))
            }
            if found.isEmpty && isClaimed(device) { found.append(.claimed(blockDevice: device)) }
            uses += found
        }
        return uses
    }

    /// A line of mountinfo: ID, parent, major:minor, root, mount point, options, …, `-`, type, source.
    private struct Mount {
        let number: String
        let place: String
        let source: String?

        init?(_ line: String) {
            let words = line.split(separator: " ")
            guard words.count > 4 else { return nil }
            number = String(words[2])
            place = String(words[4])
            let separator = words.firstIndex(of: "-") ?? words.endIndex
            source = separator + 2 < words.endIndex ? String(words[separator + 2]) : nil
        }
    }

    /// Returns the disk of an NVMe multipath path: `nvme0n1` for `nvme0c3n1`.
    private static func head(of name: String) -> String? {
        guard let match = name.wholeMatch(of: /(nvme\d+)c\d+(n\d+)/) else { return nil }
        return "\(match.1)\(match.2)"
    }

    /// Returns whether the device is opened exclusively, possibly in another mount namespace.
    ///
    /// Opens it with `O_EXCL` to find out; returns `false` if the process lacks the permission.
    private func isClaimed(_ device: String) -> Bool {
        do throws(Errno) {
            let mode = FileDescriptor.AccessMode(rawValue: O_RDONLY | O_EXCL | O_NONBLOCK)
            try kernel.close(kernel.open(FilePath("/dev/\(device)"), mode))
            return false
        } catch {
            return error == .resourceBusy
        }
    }

    // MARK: Network interfaces

    private static let isUp: UInt32 = 1

    func networkInterfaces() throws(VFIOError) -> [DeviceUse] {
        let interfaces = try children(of: "/sys/class/net")
        guard !interfaces.isEmpty else {
            // The directory stays, but is empty, when the interface has moved to another namespace.
            let folder = Sysfs.folder(of: .pci(address)).appending("net")
            let isElsewhere =
                try reading(folder) { (path) throws(Errno) in try kernel.names(in: path) }?.isEmpty ?? false
            return isElsewhere ? [.networkElsewhere] : []
        }
        let routes = Set(try lines(of: "/proc/net/route").dropFirst().compactMap(Self.firstWord))
        let addresses = Set(try lines(of: "/proc/net/if_inet6").compactMap(Self.lastWord))
        var uses: [DeviceUse] = []
        for interface in interfaces {
            let folder = FilePath("/sys/class/net/\(interface)")
            let text = try lines(of: folder.appending("flags")).first ?? ""
            guard let flags = UInt32(text.dropFirst(2), radix: 16), flags & Self.isUp != 0 else { continue }
            // A member of a bond or a bridge, or the lower device of others.
            let isMember = try names(in: folder).contains { $0 == "master" || $0.hasPrefix("upper_") }
            // An address may be set without a route in the main table; a link indicates that the interface may be in
            // use.
            let hasLink = try? kernel.readFile(folder.appending("carrier")).first == UInt8(ascii: "1")
            if isMember || hasLink ?? false || routes.contains(interface) || addresses.contains(interface) {
                uses.append(.network(interface: interface))
            }
        }
        return uses
    }

    private static func firstWord(_ line: String) -> String? {
        line.split { $0 == " " || $0 == "\t" }.first.map(String.init)
    }
    private static func lastWord(_ line: String) -> String? {
        line.split { $0 == " " || $0 == "\t" }.last.map(String.init)
    }

    // MARK: Displays

    func monitors() throws(VFIOError) -> [DeviceUse] {
        var uses: [DeviceUse] = []
        // The class lists cards (card1), render nodes, and connectors (card1-DP-1).
        for name in try children(of: "/sys/class/drm") where name.contains("-") {
            let folder = FilePath("/sys/class/drm/\(name)")
            guard try lines(of: folder.appending("status")).first == "connected" else { continue }
            guard try lines(of: folder.appending("enabled")).first == "enabled" else { continue }
            uses.append(.display(connector: name))
        }
        return uses
    }

    // MARK: Nodes

    /// The classes whose devices have nodes, and the folder of the nodes.
    private static let nodeClasses = [
        ("drm", "/dev/dri"), ("sound", "/dev/snd"), ("accel", "/dev/accel"), ("block", "/dev"),
        ("nvme", "/dev"),
        ("video4linux", "/dev"), ("infiniband_verbs", "/dev/infiniband"), ("input", "/dev/input"),
        ("hidraw", "/dev"),
    ]

    func openNodes() throws(VFIOError) -> [DeviceUse] {
        var nodes: Set<String> = []
        for (name, folder) in Self.nodeClasses {
            for child in try children(of: FilePath("/sys/class/\(name)")) {
                nodes.insert("\(folder)/\(child)")
            }
        }
        // NVIDIA's own driver has no class for its nodes.
        let gpu = try lines(of: FilePath("/proc/driver/nvidia/gpus/\(address)/information"))
        if let minor = gpu.first(where: { $0.hasPrefix("Device Minor:") }).flatMap(Self.lastWord) {
            nodes.insert("/dev/nvidia\(minor)")
        }
        return OpenNodes(kernel: kernel).holders(of: nodes).map {
            .node($0.node, openIn: $0.name, process: $0.process)
        }
    }

    /// The programs that have a device open through VFIO, by its own node or by that of its group.
    func programs(with function: PCIFunctionInfo) -> [DeviceUse] {
        func uses(of nodes: [String]) -> [DeviceUse] {
            OpenNodes(kernel: kernel).holders(of: Set(nodes)).map {
                .node($0.node, openIn: $0.name, process: $0.process)
            }
        }
        // The kernel does not unbind a device whose node is open, used or not.
        let own = uses(of: function.vfioNode.map { ["/dev/vfio/devices/\($0)"] } ?? [])
        guard own.isEmpty, function.isEnabled else { return own }
        // The node of the group is open for any of its devices.
        let group = uses(of: function.iommuGroup.map { ["/dev/vfio/\($0)", "/dev/vfio/noiommu-\($0)"] } ?? [])
        return group.isEmpty ? [.open] : group
    }

    // MARK: Reading

    /// Returns the members of a class that are below the device: their links lead through its directory.
    private func children(of folder: FilePath) throws(VFIOError) -> [String] {
        let own = address.description
        var children: [String] = []
        for name in try names(in: folder) {
            let target = try reading(folder.appending(name)) { (path) throws(Errno) in try kernel.readLink(path) }
            if target?.components.contains(where: { $0.string == own }) ?? false { children.append(name) }
        }
        return children
    }

    private func names(in folder: FilePath) throws(VFIOError) -> [String] {
        try reading(folder) { (path) throws(Errno) in try kernel.names(in: path) } ?? []
    }

    private func lines(of file: FilePath) throws(VFIOError) -> [String] {
        let bytes = try reading(file) { (path) throws(Errno) in try kernel.readFile(path) } ?? []
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Reads something that may not exist.
    private func reading<Result>(
        _ path: FilePath, _ body: (FilePath) throws(Errno) -> Result
    ) throws(VFIOError) -> Result? {
        do throws(Errno) {
            return try body(path)
        } catch  where error == .noSuchFileOrDirectory || error == .operationNotSupportedByDevice {
            // Missing, or removed meanwhile.
            return nil
        } catch .invalidArgument {
            // A directory where a link is expected: not in /sys/class/block, but possible in a recorded tree.
            return nil
        } catch {
            throw VFIOError(
                .kernel, "find out who uses the device", "\(address)", errno: error, hint: "\(path) cannot be read")
        }
    }
}
