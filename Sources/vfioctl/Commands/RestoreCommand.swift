import ArgumentParser
import VFIO

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Bind devices to the drivers that they had before `vfioctl bind`.",
        discussion: """
            Clears the driver_override and lets the kernel choose a driver. If it chooses another driver than the recorded one, the \
            device is bound to the recorded driver by name. A driver_override that was there before is put back. It works also \
            after a bind that was interrupted. Needs root.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Restore a device even if a program has it open; waits until it is closed.")
    var force = false
    @Argument(help: ArgumentHelp("The devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress]

    func run() throws {
        let changer = DriverChanger(kernel: machine.kernel, isForced: force, isDryRun: change.dryRun)
        var previous = try PreviousDrivers(for: machine)
        var reports: [ChangeReport] = []
        for device in devices {
            let report = try changer.restore(device, &previous)
            reports.append(report)
            if !output.json { report.print(output.style) }
        }
        if output.json { try JSON.print(reports) }
    }
}
