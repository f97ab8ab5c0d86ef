import ArgumentParser
import ExampleSupport
import ProgramSupport

/// The command line tool of the NVMe driver.
@main
struct NVMeCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nvmectl",
        abstract: "Use an NVMe disk from user space, and have it read straight into another device.",
        discussion: """
            The disk has to be bound to vfio-pci (`vfioctl bind`). Every command works with --mock on a machine in memory, \
            which has a disk at 0000:00:04.0, and memory for `peer` at 0000:00:03.0 and 0000:01:00.0.
            """,
        subcommands: [
            InfoCommand.self, ReadCommand.self, WriteCommand.self, FlushCommand.self, BenchCommand.self,
            PeerCommand.self,
        ]
    )

    static func main() {
        StandardOutput.protect()
        main(nil)
    }
}
