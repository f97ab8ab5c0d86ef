import ArgumentParser
import VFIO

/// `vfioctl reset`.
struct ResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Reset a device alone, by FLR or what else it has.",
        discussion: "The device has to be bound to vfio-pci, and nobody else may have it open."
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: DeviceOptions

    func run() throws {
        let device = try options.open(machine)
        if change.dryRun {
            print(device.info.canReset ? "would reset \(device.address)" : "\(device.address) cannot be reset alone")
        } else {
            try device.reset()
            print("\(device.address): reset")
        }
        try device.close()
    }
}
