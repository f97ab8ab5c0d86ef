import SystemPackage
import VFIO

/// The kernel's VFIO: its groups, and the nodes in `/dev/vfio`.
final class VFIODriver: DeviceNodes {
    let bus: SystemBus
    private var groups: [Int: VFIOGroup] = [:]

    init(_ bus: SystemBus) {
        self.bus = bus
        bus.vfio = self
    }

    func isGroupHeld(_ number: Int) -> Bool {
        groups[number].map { $0.container != nil || $0.owner != nil } ?? false
    }

    var core: Core { bus.core }

    /// The group of a number. It must have a device bound to vfio-pci.
    func group(_ number: Int) -> VFIOGroup {
        if let group = groups[number] { return group }
        let group = VFIOGroup(number, self)
        groups[number] = group
        return group
    }

    /// The containers of all groups in the order of the groups' numbers.
    var containers: [Container] {
        var containers: [Container] = []
        for group in groups.values.sorted(by: { $0.number < $1.number }) {
            guard let container = group.container, !containers.contains(where: { $0 === container }) else { continue }
            containers.append(container)
        }
        return containers
    }

    /// `/dev/vfio/NUMBER`, or `/dev/vfio/noiommu-NUMBER`.
    func openGroup(_ number: Int, hasIOMMU: Bool) throws(Errno) -> any FileOperations {
        let group = group(number)
        group.hasIOMMU = hasIOMMU
        if group.nodeCount > 0 || group.file != nil { throw .resourceBusy }
        return group
    }

    /// `/dev/vfio/devices/vfioN`, or `noiommu-vfioN`. It gives no access until it is bound.
    func openDevice(_ function: PCIFunction) -> any FileOperations { DeviceFile(function, self) }
}
