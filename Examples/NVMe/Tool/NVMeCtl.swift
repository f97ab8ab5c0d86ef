import ArgumentParser
import ExampleSupport
import ProgramSupport

/// The command line tool of the NVMe driver.
@main
struct NVMeCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nvmectl",
        abstract: "Access an NVMe disk from user space, and read directly into another device's memory.",
        discussion: """
            The disk must be bound to vfio-pci (`vfioctl bind`). With --mock every command uses an in-memory machine, which \
            has a disk at 0000:00:04.0, and memory for `peer` at 0000:00:03.0 and 0000:01:00.0.
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
