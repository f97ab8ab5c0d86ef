import SystemPackage
import VFIO

extension SysfsBuilder {
    static func path(ofParent parent: MediatedParent) -> String { "/sys/devices/virtual/\(parent.name)/\(parent.name)" }

    /// The parents of mediated devices, and what they have made.
    func addMediated() {
        tree.addFolder("/sys/bus/mdev/devices")
        for parent in core.mediatedParents.values {
            let path = Self.path(ofParent: parent)
            tree.addLink("/sys/class/mdev_bus/\(parent.name)", to: path)
            tree.addFolder("/sys/bus/mdev/drivers/\(parent.name)")
            for type in parent.types.keys {
                let folder = "\(path)/mdev_supported_types/\(type)"
                tree.addFolder("\(folder)/devices")
                tree.addAttribute("\(folder)/device_api", "vfio-pci")
                tree.addAttribute("\(folder)/available_instances", "\(parent.available)")
                tree.addWritable("\(folder)/create", nil) { [core] (bytes) throws(Errno) in
                    try core.createMediated(Self.text(bytes), parent, type)
                    return true
                }
            }
        }
        for function in core.functions.values {
            guard let mediated = function.mediated else { continue }
            let path = Self.path(of: function)
            let group = "/sys/kernel/iommu_groups/\(function.groupNumber)"
            tree.addFolder(path)
            tree.addLink("/sys/bus/mdev/devices/\(mediated.uuid)", to: path)
            tree.addLink("\(path)/driver", to: "/sys/bus/mdev/drivers/\(mediated.parent.name)")
            tree.addLink("\(path)/iommu_group", to: group)
            tree.addLink("\(group)/devices/\(mediated.uuid)", to: path)
            tree.addWritable("\(path)/remove", nil) { [core] (bytes) throws(Errno) in
                guard let value = Int(Self.text(bytes)) else { throw .invalidArgument }
                return value == 0 || core.removeMediated(function)
            }
            addNodes(function, path)
        }
    }
}
