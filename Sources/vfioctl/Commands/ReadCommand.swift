import ArgumentParser
import VFIO

struct ReadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read", abstract: "Read registers of a device.",
        discussion: """
            Opens the device and closes it afterwards. The kernel resets it both times if it can. Memory decode is enabled for a BAR. \
            Reading a register may have side effects.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var options: DeviceOptions
    @Argument(help: "The region: bar0 to bar5, rom, config, vga, or a number.")
    var region: RegionArgument
    @Argument(help: ArgumentHelp("The offset in the region in bytes.", valueName: "offset"))
    var offset: NumberArgument
    @Option(help: "The width of an access in bits: 8, 16, 32, 64.")
    var width = AccessWidth.bits32
    @Option(help: "The number of consecutive registers.")
    var count = 1

    func validate() throws { guard (1...65536).contains(count) else { throw ValidationError("--count is 1 to 65536") } }

    func run() throws {
        let device = try options.open(machine)
        var values: [Value] = []
        for number in 0..<count {
            let place = offset.value.addingReportingOverflow(UInt64(number * width.byteCount))
            guard !place.overflow else { break }
            let value = try device.read(region.index, at: place.partialValue, width)
            values.append(Value(offset: place.partialValue, value: value, width: width))
        }
        try device.close()
        if output.json {
            try JSON.print(values)
        } else if count == 1 {
            for value in values { print(value.value) }
        } else {
            for value in values { print("\(value.offset): \(value.value)") }
        }
    }

    private struct Value: Encodable {
        let offset: String
        let value: String

        init(offset: UInt64, value: UInt64, width: AccessWidth) {
            self.offset = "0x" + String(offset, radix: 16)
            self.value = "0x" + Hexadecimal.text(value, digits: width.byteCount * 2)
        }
    }
}
