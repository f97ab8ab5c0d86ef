import ArgumentParser
import ProgramSupport

/// The command line tool of swift-vfio.
@main
struct VFIOCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfioctl", abstract: "Inspect, prepare and access PCI devices for VFIO, and diagnose problems.",
        discussion: """
            Getting started: `vfioctl list` shows the devices, `vfioctl doctor BDF` shows problems and the commands that fix \
            them, `vfioctl bind BDF` binds the device to vfio-pci, and `vfioctl info BDF` opens it. Every command accepts \
            --mock, for an in-memory machine. The fields of the JSON output are described in docs/vfioctl-json.md.
            """,
        groupedSubcommands: [
            CommandGroup(name: "See", subcommands: [ListCommand.self, TopologyCommand.self, DoctorCommand.self]),
            CommandGroup(
                name: "Prepare",
                subcommands: [
                    BindCommand.self, UnbindCommand.self, RestoreCommand.self, SRIOVCommand.self, VFTokenCommand.self,
                ]),
            CommandGroup(
                name: "Use",
                subcommands: [
                    InfoCommand.self, ConfigCommand.self, ReadCommand.self, WriteCommand.self, ResetCommand.self,
                    HotResetCommand.self, DMABufCommand.self, DemoCommand.self,
                ]),
        ])

    static func main() {
        StandardOutput.protect()
        main(nil)
    }
}
