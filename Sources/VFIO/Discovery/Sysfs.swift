internal import SystemPackage

/// What sysfs tells about a device, as far as opening it needs.
struct Sysfs {
    let kernel: any Kernel

    static func folder(of address: DeviceAddress) -> FilePath { FilePath(folderName(of: address)) }

    /// The path of something in the folder of a device.
    private static func path(of name: String, of address: DeviceAddress) -> FilePath {
        FilePath("\(folderName(of: address))/\(name)")
    }

    private static func folderName(of address: DeviceAddress) -> String {
        switch address {
        case .pci(let address): "/sys/bus/pci/devices/\(address)"
        case .mediated(let uuid): "/sys/bus/mdev/devices/\(uuid)"
        }
    }

    /// Whether the machine has a device at the address.
    func exists(_ address: DeviceAddress) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try kernel.names(in: Self.folder(of: address))
            return true
        } catch .noSuchFileOrDirectory {
            return false
        }
    }

    /// The number of the device's IOMMU group; `nil` when it has none, as without an IOMMU.
    func iommuGroup(of address: DeviceAddress) throws(Errno) -> Int? {
        guard let name = try linkName(Self.path(of: "iommu_group", of: address)) else { return nil }
        return Int(name)
    }

    /// The driver that holds the device; `nil` when none does.
    func driver(of address: DeviceAddress) throws(Errno) -> String? {
        try linkName(Self.path(of: "driver", of: address))
    }

    /// The physical function that a virtual one belongs to; `nil` for any other device.
    func physicalFunction(of address: DeviceAddress) throws(Errno) -> PCIAddress? {
        try linkName(Self.path(of: "physfn", of: address)).flatMap(PCIAddress.init)
    }

    /// The devices of an IOMMU group.
    func devices(inGroup group: Int) throws(Errno) -> [PCIAddress] {
        try kernel.names(in: FilePath("/sys/kernel/iommu_groups/\(group)/devices")).compactMap(PCIAddress.init)
    }

    /// The name of the device's VFIO character device, such as `vfio0`; `nil` when it has none.
    func characterDevice(of address: DeviceAddress) throws(Errno) -> String? {
        do throws(Errno) {
            return try kernel.names(in: Self.path(of: "vfio-dev", of: address)).first
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Whether VFIO has made an IOMMU group up for a device that has no IOMMU.
    func isNoIOMMU(group: Int) throws(Errno) -> Bool {
        // One look-up: a list of all groups for each device would be quadratic.
        try linkName(FilePath("/sys/class/vfio/noiommu-\(group)")) != nil
    }

    /// Whether the kernel has made VFIO devices without a character device for any of them, as it does when it is
    /// configured without; not so when there is no VFIO device to tell by.
    func lacksCharacterDevices() -> Bool {
        let folder: FilePath = "/sys/class/vfio-dev"
        guard let devices = try? kernel.names(in: folder), !devices.isEmpty else { return false }
        return devices.allSatisfy { device in
            let attributes = (try? kernel.names(in: folder.appending(device))) ?? []
            return !attributes.contains("dev")
        }
    }

    private func linkName(_ path: FilePath) throws(Errno) -> String? {
        do throws(Errno) {
            return try kernel.readLink(path).lastComponent?.string
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }
}
