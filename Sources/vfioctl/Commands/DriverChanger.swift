import VFIO

/// The shared part of `bind`, `unbind` and `restore`: refuses devices in use, and supports dry runs.
struct DriverChanger {
    let kernel: any Kernel
    let isForced: Bool
    let isDryRun: Bool

    var binding: DriverBinding { DriverBinding(kernel: kernel) }
    private var bus: PCIBus { PCIBus(kernel: kernel) }

    /// Performs a change, or prints it in a dry run.
    ///
    /// - Throws: `.inUse` when the device is in use.
    func apply(_ change: DriverChange, note: () throws -> String? = { nil }) throws -> ChangeReport {
        try check(change)
        if isDryRun {
            let after = change.steps.isEmpty ? change.previousDriver : change.driver
            return ChangeReport(change, after: after, done: false, note: try note())
        }
        try binding.apply(change)
        return ChangeReport(change, after: try bus.function(at: change.address).driver, done: true, note: try note())
    }

    /// Gives a device back to the driver that it was recorded with; without a record, to the kernel's choice.
    func restore(_ device: PCIAddress, _ previous: inout PreviousDrivers) throws -> ChangeReport {
        let record = previous[device]
        var report: ChangeReport
        if let record, let override = record.override {
            report = try apply(binding.planChange(of: device, backTo: record.driver, override: override))
        } else {
            report = try apply(binding.planChangeToAnyDriver(of: device))
            if report.done, let wanted = record?.driver, report.after != wanted {
                let byName = try apply(binding.planChange(of: device, backTo: wanted, override: nil))
                report = ChangeReport(report, then: byName)
            }
        }
        if report.done { try previous.forget(device) }
        return report
    }

    /// Checks that a device is not in use. A device without a driver may be in use too, such as the firmware's display.
    ///
    /// - Throws: `.inUse` when the device is in use.
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

    /// The devices, and the other devices of their IOMMU groups that prevent a program from opening them.
    func withGroups(_ devices: [PCIAddress]) throws -> [PCIAddress] {
        let functions = try bus.functions()
        let groups = Set(functions.filter { devices.contains($0.address) }.compactMap(\.iommuGroup))
        let companions = functions.filter { function in
            function.iommuGroup.map(groups.contains) ?? false
                && !(function.isPlatformBridge && function.leavesGroupViable)
                && !devices.contains(function.address)
        }
        return devices + companions.map(\.address)
    }

    /// The other devices of the group that must be bound before a program can open this one.
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
