import SystemPackage
import VFIO

/// A device whose driver creates mediated devices.
final class MediatedParent {
    let name: String
    /// The model of each type of mediated device by name.
    let types: [String: @Sendable () -> any MockDevice]
    /// The number of further devices that it can create.
    var available: Int

    init(name: String, types: [String: @Sendable () -> any MockDevice], limit: Int) {
        self.name = name
        self.types = types
        available = limit
    }

    var sysfsPath: String { "/sys/devices/virtual/\(name)/\(name)" }

    func addToSysfs(_ bus: SystemBus) {
        let sysfs = bus.sysfs
        sysfs.add([
            ("/sys/bus/mdev/devices", .folder), ("/sys/bus/mdev/drivers/\(name)", .folder),
            ("/sys/class/mdev_bus/\(name)", .link(to: sysfsPath)), (sysfsPath, .folder),
        ])
        for type in types.keys {
            let folder = "\(sysfsPath)/mdev_supported_types/\(type)"
            sysfs.add([("\(folder)/devices", .folder)])
            sysfs.addText("\(folder)/device_api", "vfio-pci")
            sysfs.addText("\(folder)/available_instances", "\(self.available)")
            sysfs.addAction("\(folder)/create") { [unowned bus] (text) throws(Errno) in
                try bus.createMediated(text, self, type)
                return true
            }
        }
    }
}

struct MediatedName {
    let uuid: DeviceUUID
    let parent: MediatedParent
}
