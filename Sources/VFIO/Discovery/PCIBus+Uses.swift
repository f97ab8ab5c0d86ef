internal import SystemPackage

extension PCIBus {
    /// What the machine uses a device for, so that nobody takes the disk from under the root file system.
    ///
    /// Looks at mounts, swap, and holders of block devices, at the flags, addresses and routes of network interfaces, at
    /// the firmware's choice of display and at virtual functions. What cannot be read counts as a failure, not as unused; what
    /// the kernel does not have counts as unused.
    ///
    /// - Throws: `.notFound` when there is no such device.
    public func uses(of address: PCIAddress) throws(VFIOError) -> [DeviceUse] {
        let function = try function(at: address)
        let reader = UseReader(kernel: kernel, address: address)
        var uses = try reader.blockDevices() + reader.networkInterfaces()
        if function.isBootDisplay { uses.append(.bootDisplay) }
        if function.isBoundToVFIO && function.isEnabled { uses.append(.open) }
        if !function.virtualFunctions.isEmpty { uses.append(.virtualFunctions(count: function.virtualFunctions.count)) }
        return uses
    }
}

/// Reads who uses the block devices and network interfaces of one device.
private struct UseReader {
    let kernel: any Kernel
    let address: PCIAddress

    // MARK: Block devices

    func blockDevices() throws(VFIOError) -> [DeviceUse] {
        let devices = try children(of: "/sys/class/block")
        guard !devices.isEmpty else { return [] }
        let mounts = try lines(of: "/proc/self/mountinfo").map { $0.split(separator: " ") }
        let swaps = try lines(of: "/proc/swaps").compactMap { $0.split(separator: " ").first }
        var uses: [DeviceUse] = []
        for device in devices {
            let folder = FilePath("/sys/class/block/\(device)")
            let number = try lines(of: folder.appending("dev")).first
            // mountinfo: ID, parent, major:minor, root, mount point.
            if let mount = mounts.first(where: { $0.count > 4 && number != nil && $0[2] == number! }) {
                uses.append(.mounted(blockDevice: device, at: String(mount[4])))
            }
            if swaps.contains("/dev/\(device)") { uses.append(.swap(blockDevice: device)) }
            for holder in try names(in: folder.appending("holders")) {
                uses.append(.partOf(blockDevice: device, holder: holder))
            }
        }
        return uses
    }

    // MARK: Network interfaces

    private static let isUp: UInt32 = 1

    func networkInterfaces() throws(VFIOError) -> [DeviceUse] {
        let interfaces = try children(of: "/sys/class/net")
        guard !interfaces.isEmpty else { return [] }
        let routes = Set(try lines(of: "/proc/net/route").dropFirst().compactMap(Self.firstWord))
        let addresses = Set(try lines(of: "/proc/net/if_inet6").compactMap(Self.lastWord))
        var uses: [DeviceUse] = []
        for interface in interfaces {
            let text = try lines(of: FilePath("/sys/class/net/\(interface)/flags")).first ?? ""
            guard let flags = UInt32(text.dropFirst(2), radix: 16), flags & Self.isUp != 0 else { continue }
            if routes.contains(interface) || addresses.contains(interface) {
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

    // MARK: Reading

    /// The members of a class that hang below the device: their links lead through its folder.
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

    /// Reads what may not be there.
    private func reading<Result>(
        _ path: FilePath, _ body: (FilePath) throws(Errno) -> Result
    ) throws(VFIOError) -> Result? {
        do throws(Errno) {
            return try body(path)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .invalidArgument {
            // A folder where a link is expected: /sys/class/block has none such, a recorded tree may.
            return nil
        } catch {
            throw VFIOError(
                .kernel, "find out who uses the device", "\(address)", errno: error, hint: "\(path) cannot be read")
        }
    }
}
