import ArgumentParser
import ProgramSupport

/// The command line tool of swift-vfio.
@main
struct VFIOCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfioctl", abstract: "See, prepare and use PCI devices for VFIO, and be told what is wrong.",
        discussion: """
            A first hour: `vfioctl list` shows what is there, `vfioctl doctor BDF` what is in the way and the command that mends \
            it, `vfioctl bind BDF` gives the device to vfio-pci, and `vfioctl info BDF` opens it. Every command works with \
            --mock on a machine in memory.
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
