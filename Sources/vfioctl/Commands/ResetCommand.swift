import ArgumentParser
import VFIO

/// `vfioctl reset`.
struct ResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset", abstract: "Reset a device alone, by FLR or what else it has.",
        discussion: "The device has to be bound to vfio-pci, and nobody else may have it open.")

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: DeviceOptions

    func run() throws {
        if change.dryRun {
            // Read from sysfs, because opening the device would reset it.
            let function = try PCIBus(kernel: machine.kernel).function(at: options.device)
            guard !function.resetMethods.isEmpty else {
                throw VFIOError(.unsupported, "reset the device", "\(options.device)", hint: "nothing resets it alone")
            }
            try ResetReport(devices: [options.device], done: false).print(output)
            return
        }
        let device = try options.open(machine)
        try device.reset()
        try device.close()
        try ResetReport(devices: [options.device], done: true).print(output)
    }
}
