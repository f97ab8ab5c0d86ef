import ArgumentParser
import VFIO

struct BindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bind", abstract: "Unbind devices from the kernel's drivers and bind them to vfio-pci.",
        discussion: """
            Sets each device's driver_override, so that no other device of the same type is bound, and records the previous driver \
            for `vfioctl restore`. Refuses devices that the machine is using: a mounted disk, a network interface that is up and has an \
            address, the boot display. Needs root.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Bind a device even if it is in use. Its users will fail.")
    var force = false
    @Flag(help: "Bind all devices of their IOMMU groups, except bridges.")
    var group = false
    @Option(help: ArgumentHelp("The driver to bind to.", valueName: "name"))
    var driver = "vfio-pci"
    @Argument(help: ArgumentHelp("The devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress]

    func run() throws {
        let changer = DriverChanger(kernel: machine.kernel, isForced: force, isDryRun: change.dryRun)
        var previous = try PreviousDrivers(for: machine)
        var reports: [ChangeReport] = []
        let devices = try group ? changer.withGroups(devices) : devices
        // Check all devices before the first one is unbound: all or none.
        let plans = try devices.map { try changer.binding.planChange(of: $0, to: driver) }
        for plan in plans { try changer.check(plan) }
        for (device, plan) in zip(devices, plans) {
            // Recorded before the change, so that every bound device can be restored.
            if !change.dryRun { try previous.remember(plan) }
            let report = try changer.apply(plan, note: { try changer.noteOnGroup(of: device, leavingOut: devices) })
            reports.append(report)
            if !output.json { report.print(output.style) }
        }
        if output.json { try JSON.print(reports) }
    }
}
