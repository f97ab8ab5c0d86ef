internal import SystemPackage

/// The sysfs information that is needed to open a device.
struct Sysfs {
    let kernel: any Kernel

    static func folder(of address: DeviceAddress) -> FilePath { FilePath(folderName(of: address)) }

    /// Returns the path of an entry in the directory of a device.
    private static func path(of name: String, of address: DeviceAddress) -> FilePath {
        FilePath("\(folderName(of: address))/\(name)")
    }

    private static func folderName(of address: DeviceAddress) -> String {
        switch address {
        case .pci(let address): "/sys/bus/pci/devices/\(address)"
        case .mediated(let uuid): "/sys/bus/mdev/devices/\(uuid)"
        }
    }

    /// Returns whether the machine has a device at the address.
    func exists(_ address: DeviceAddress) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try kernel.names(in: Self.folder(of: address))
            return true
        } catch .noSuchFileOrDirectory {
            return false
        }
    }

    /// Returns the number of the device's IOMMU group; `nil` if it has none, as without an IOMMU.
    func iommuGroup(of address: DeviceAddress) throws(Errno) -> Int? {
        guard let name = try linkName(Self.path(of: "iommu_group", of: address)) else { return nil }
        return Int(name)
    }

    /// Returns the driver that the device is bound to; `nil` for none.
    func driver(of address: DeviceAddress) throws(Errno) -> String? {
        try linkName(Self.path(of: "driver", of: address))
    }

    /// Returns the physical function of a virtual function; `nil` for any other device.
    func physicalFunction(of address: DeviceAddress) throws(Errno) -> PCIAddress? {
        try linkName(Self.path(of: "physfn", of: address)).flatMap(PCIAddress.init)
    }

    /// Returns whether the platform remaps interrupts, which keeps the devices' apart; `nil` if no interrupt shows it.
    func remapsInterrupts() throws(Errno) -> Bool? {
        let folder: FilePath = "/sys/kernel/irq"
        let chips = try kernel.names(in: folder).map { (name) throws(Errno) in
            String(
                decoding: try kernel.readFile(folder.appending(name).appending("chip_name")), as: UTF8.self)
        }
        // x86 has a domain of its own for remapped interrupts.
        if chips.contains(where: { $0.hasPrefix("IR-") }) { return true }
        return chips.contains { $0.hasPrefix("PCI-MSI") } ? false : nil
    }

    /// Returns whether the parameter of a module allows devices whose interrupts the platform does not remap.
    func allowsUnsafeInterrupts(_ module: String) -> Bool {
        let file = FilePath("/sys/module/\(module)/parameters/allow_unsafe_interrupts")
        return (try? kernel.readFile(file))?.first == UInt8(ascii: "Y")
    }

    /// Returns the name of the device's VFIO character device, such as `vfio0`; `nil` for none.
    func characterDevice(of address: DeviceAddress) throws(Errno) -> String? {
        do throws(Errno) {
            return try kernel.names(in: Self.path(of: "vfio-dev", of: address)).first
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Returns whether VFIO has created an IOMMU group for a device without an IOMMU.
    func isNoIOMMU(group: Int) throws(Errno) -> Bool {
        // One look-up: listing all groups for each device would be quadratic.
        try linkName(FilePath("/sys/class/vfio/noiommu-\(group)")) != nil
    }

    /// Returns whether the kernel has VFIO devices but no character device for any of them, as without its
    /// configuration option; `false` if there is no VFIO device.
    func lacksCharacterDevices() -> Bool {
        let folder: FilePath = "/sys/class/vfio-dev"
        guard let devices = try? kernel.names(in: folder), !devices.isEmpty else { return false }
        return devices.allSatisfy { device in
            let attributes = (try? kernel.names(in: folder.appending(device))) ?? []
            return !attributes.contains("dev")
        }
    }

    func linkName(_ path: FilePath) throws(Errno) -> String? {
        do throws(Errno) {
            return try kernel.readLink(path).lastComponent?.string
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }
}
