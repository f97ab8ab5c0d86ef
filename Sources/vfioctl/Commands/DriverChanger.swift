import VFIO

/// What `bind`, `unbind` and `restore` have in common: nobody's device is taken away unasked, and a dry run changes nothing.
struct DriverChanger {
    let machine: MachineOptions
    let isForced: Bool
    let isDryRun: Bool

    var binding: DriverBinding { DriverBinding(kernel: machine.kernel) }
    private var bus: PCIBus { PCIBus(kernel: machine.kernel) }

    /// Carries a change out, or shows it.
    ///
    /// - Throws: `.inUse` when somebody uses the device.
    func apply(_ change: DriverChange, note: () throws -> String? = { nil }) throws -> ChangeReport {
        try check(change)
        if isDryRun {
            let after = change.steps.isEmpty ? change.previousDriver : change.driver
            return ChangeReport(change, after: after, done: false, note: try note())
        }
        try binding.apply(change)
        return ChangeReport(change, after: try bus.function(at: change.address).driver, done: true, note: try note())
    }

    /// Refuses to take what is used. A device without a driver may be used as well: the firmware's display is.
    ///
    /// - Throws: `.inUse` when somebody uses the device.
    func check(_ change: DriverChange) throws {
        let isTaken = change.takesDeviceAway || (change.driver != nil && !change.steps.isEmpty)
        guard isTaken && !isForced else { return }
        let uses = try bus.uses(of: change.address)
        guard uses.isEmpty else {
            throw VFIOError(
                .inUse, "take the device from its driver", "\(change.address)",
                hint: "\(uses.map { "\($0)" }.joined(separator: ", ")); --force takes it all the same")
        }
    }

    /// The devices, and the others of their IOMMU groups that would keep a program from opening them.
    func withGroups(_ devices: [PCIAddress]) throws -> [PCIAddress] {
        let functions = try bus.functions()
        let groups = Set(functions.filter { devices.contains($0.address) }.compactMap(\.iommuGroup))
        let companions = functions.filter { function in
            function.iommuGroup.map(groups.contains) ?? false && !(function.isBridge && function.leavesGroupViable)
                && !devices.contains(function.address)
        }
        return devices + companions.map(\.address)
    }

    /// Which other devices of the group still have to be bound before a program can open this one.
    func noteOnGroup(of device: PCIAddress, leavingOut others: [PCIAddress]) throws -> String? {
        let functions = try bus.functions()
        guard let group = functions.first(where: { $0.address == device })?.iommuGroup else {
            return "it is in no IOMMU group: programs cannot open it before the IOMMU is switched on (vfioctl doctor)"
        }
        let blockers = functions.filter { function in
            function.iommuGroup == group && !function.leavesGroupViable && !others.contains(function.address)
        }
        guard !blockers.isEmpty else { return nil }
        let list = blockers.map { "\($0.address) (\($0.driver ?? ""))" }.joined(separator: ", ")
        return "programs cannot open it before the rest of IOMMU group \(group) is bound too: \(list); "
            + "vfioctl bind \(blockers.map { "\($0.address)" }.joined(separator: " "))"
    }
}
