import ArgumentParser
import VFIO

/// `vfioctl info`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Open a device and show what VFIO offers of it.",
        discussion: """
            Regions and how they can be reached, interrupts, ways to reset it, features, and the addresses that its DMA can use. \
            The device has to be bound to vfio-pci, and nobody else may have it open. The kernel resets it, where it can.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var options: DeviceOptions

    func run() throws {
        let device = try options.open(machine)
        let report = try DeviceReport(device, kernel: machine.kernel)
        try device.close()
        if output.json {
            try JSON.print(report)
        } else {
            for line in report.lines(output.style) { print(line) }
        }
    }
}
