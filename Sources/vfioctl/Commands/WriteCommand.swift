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
        var seen: UInt64?
        if !change.dryRun {
            let device = try options.open(machine)
            try device.write(value.value, region.index, at: offset.value, width)
            if verify { seen = try device.read(region.index, at: offset.value, width) }
            try device.close()
        }
        let report = Report(
            address: "\(options.device)", region: RegionArgument.name(of: region.index),
            offset: "0x" + String(offset.value, radix: 16),
            width: width.rawValue, written: text(value.value), value: seen.map(text), done: !change.dryRun)
        if output.json {
            try JSON.print(report)
        } else if change.dryRun {
            print(
                "would write \(report.written) to \(region.index) of \(report.address) at \(report.offset), \(report.width) bits"
            )
        } else if let value = report.value {
            print(value)
        }
    }

    private func text(_ value: UInt64) -> String { "0x" + Hexadecimal.text(value, digits: width.byteCount * 2) }

    private struct Report: Encodable {
        let address: String
        let region: String
        let offset: String
        let width: Int
        let written: String
        /// The value read back, with --verify.
        let value: String?
        let done: Bool
    }
}
