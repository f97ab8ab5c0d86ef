import ArgumentParser
import VFIO

/// `vfioctl restore`.
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Give devices back to the drivers that they had before `vfioctl bind`.",
        discussion: """
            Takes the driver_override away and lets the kernel choose. Where it chooses another driver than the one that is \
            remembered, that one is asked for by name. Needs root.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Take a device that a program has open, too; waits until it lets go.")
    var force = false
    @Argument(help: ArgumentHelp("The devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress]

    func run() throws {
        let changer = DriverChanger(machine: machine, isForced: force, isDryRun: change.dryRun)
        var previous = try PreviousDrivers(for: machine)
        var reports: [ChangeReport] = []
        for device in devices {
            var report = try changer.apply(changer.binding.planChangeToAnyDriver(of: device))
            if report.done, let wanted = previous[device], report.after != wanted {
                let byName = try changer.apply(changer.binding.planChange(of: device, to: wanted))
                report = ChangeReport(report, then: byName)
            }
            if report.done { try previous.forget(device) }
            reports.append(report)
            if !output.json { report.print(output.style) }
        }
        if output.json { try JSON.print(reports) }
    }
}
