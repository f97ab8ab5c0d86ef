import SystemPackage

extension MediatedParent {
    /// Its folder in sysfs.
    var sysfsPath: String { "/sys/devices/virtual/\(name)/\(name)" }

    func addToSysfs(_ core: Core) {
        let sysfs = core.sysfs
        sysfs.add([
            ("/sys/bus/mdev/devices", .folder), ("/sys/bus/mdev/drivers/\(name)", .folder),
            ("/sys/class/mdev_bus/\(name)", .link(to: sysfsPath)), (sysfsPath, .folder),
        ])
        for type in types.keys {
            let folder = "\(sysfsPath)/mdev_supported_types/\(type)"
            sysfs.add([("\(folder)/devices", .folder)])
            sysfs.addText("\(folder)/device_api", "vfio-pci")
            sysfs.addText("\(folder)/available_instances", "\(self.available)")
            sysfs.addAction("\(folder)/create") { [unowned core] (text) throws(Errno) in
                try core.createMediated(text, self, type)
                return true
            }
        }
    }
}
