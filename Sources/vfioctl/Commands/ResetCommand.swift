import ArgumentParser
import VFIO

struct ResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset", abstract: "Reset a single device, by FLR or another method.",
        discussion: "The device must be bound to vfio-pci and not be open in another process.")

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
