import ArgumentParser
import VFIO

struct UnbindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unbind", abstract: "Unbind devices from their drivers.",
        discussion: "Refuses devices that the machine or a program is using. Needs root.")

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Unbind a device even if it is in use. Its users will fail.")
    var force = false
    @Argument(help: ArgumentHelp("The devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress]

    func run() throws {
        let changer = DriverChanger(kernel: machine.kernel, isForced: force, isDryRun: change.dryRun)
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
