import ArgumentParser
import VFIO

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show the config space of a device, decoded or in bytes.",
        discussion: """
            Shows config space as VFIO presents it to programs, with some bits virtualised by the kernel. The device must be bound \
            to vfio-pci and not be open in another process.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var options: DeviceOptions
    @Flag(help: "Print all bytes, sixteen a line, like `lspci -xxxx`.")
    var hex = false

    func run() throws {
        let device = try options.open(machine)
        if hex {
            let bytes = try Self.bytes(of: device.config)
            try device.close()
            if output.json {
                try JSON.print(bytes.map { Hexadecimal.text($0) }.joined())
            } else {
                for line in Self.dump(bytes) { print(line) }
            }
            return
        }
        let report = try ConfigReport(device)
        try device.close()
        if output.json {
            try JSON.print(report)
        } else {
            for line in report.lines(output.style) { print(line) }
        }
    }

    private static func bytes(of config: ConfigSpace) throws(VFIOError) -> [UInt8] {
        var bytes: [UInt8] = []
        // Config space has 256 or 4096 bytes.
        for offset in stride(from: 0, to: min(try config.byteCount(), 4096), by: 4) {
            let word = try config.read32(at: offset)
            bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
        return bytes
    }

    private static func dump(_ bytes: [UInt8]) -> [String] {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let line = bytes[start..<min(start + 16, bytes.count)].map { Hexadecimal.text($0) }
            return "\(Hexadecimal.text(start, digits: bytes.count > 256 ? 3 : 2)): \(line.joined(separator: " "))"
        }
    }
}
