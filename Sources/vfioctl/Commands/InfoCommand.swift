import ArgumentParser
import VFIO

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Open a device and show its VFIO properties.",
        discussion: """
            Shows regions and their access methods, interrupts, reset methods, features, and the valid IOVA ranges. The device must \
            be bound to vfio-pci and not be open in another process. The kernel resets it if it can.
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
