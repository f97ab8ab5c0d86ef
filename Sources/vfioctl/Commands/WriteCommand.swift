import ArgumentParser
import VFIO

struct WriteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "write", abstract: "Write a register of a device.",
        discussion: """
            Opens the device and closes it afterwards. The kernel resets it both times if it can, so the written value persists only \
            in devices without a reset. Memory decode is enabled for a BAR.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: DeviceOptions
    @Argument(help: "The region: bar0 to bar5, rom, config, vga, or a number.")
    var region: RegionArgument
    @Argument(help: ArgumentHelp("The offset in the region in bytes.", valueName: "offset"))
    var offset: NumberArgument
    @Argument(help: "The value, decimal or hexadecimal with 0x.")
    var value: NumberArgument
    @Option(help: "The width of the access in bits: 8, 16, 32, 64.")
    var width = AccessWidth.bits32
    @Flag(help: "Read the register back before the device is closed, and print it.")
    var verify = false

    func run() throws {
        if change.dryRun {
            print(
                "would write 0x\(Hexadecimal.text(value.value, digits: width.byteCount * 2)) to \(region.index) of "
                    + "\(options.device) at 0x\(String(offset.value, radix: 16)), \(width.rawValue) bits")
            return
        }
        let device = try options.open(machine)
        try device.write(value.value, region.index, at: offset.value, width)
        let seen = try verify ? device.read(region.index, at: offset.value, width) : nil
        try device.close()
        let report = Report(
            offset: "0x" + String(offset.value, radix: 16),
            value: seen.map { "0x\(Hexadecimal.text($0, digits: width.byteCount * 2))" })
        if output.json { try JSON.print(report) } else if let value = report.value { print(value) }
    }

    private struct Report: Encodable {
        let offset: String
        /// The value read back, with --verify.
        let value: String?
    }
}
