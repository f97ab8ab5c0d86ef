import ArgumentParser
import VFIO

/// `vfioctl unbind`.
struct UnbindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unbind", abstract: "Take devices from their drivers and leave them without one.",
        discussion: "A device that the machine or a program is using is refused. Needs root.")

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Take a device that is in use, too. What uses it will fail.")
    var force = false
    @Argument(help: ArgumentHelp("The devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress]

    func run() throws {
        let changer = DriverChanger(machine: machine, isForced: force, isDryRun: change.dryRun)
        var previous = try PreviousDrivers(for: machine)
        var reports: [ChangeReport] = []
        // Check all devices before the first one is unbound: all or none.
        let plans = try devices.map { try changer.binding.planChange(of: $0, to: nil) }
        for plan in plans { try changer.check(plan) }
        for plan in plans {
            if !change.dryRun { try previous.remember(plan) }
            let report = try changer.apply(plan)
            reports.append(report)
            if !output.json { report.print(output.style) }
        }
        if output.json { try JSON.print(reports) }
    }
}
