import ArgumentParser
import ExampleSupport
import ProgramSupport

@main
struct NetCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "netctl",
        abstract: "Drives virtio network devices that are bound to vfio-pci.",
        discussion: """
            The kernel's network driver is not used; frames are exchanged between the device and this program. With --mock an \
            in-memory machine is used, with two cards at 0000:03:00.0 and 0000:04:00.0.
            """,
        subcommands: [Info.self, Generate.self, Loop.self, Forward.self])

    static func main() {
        StandardOutput.protect()
        main(nil)
    }
}
