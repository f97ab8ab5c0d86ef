import ArgumentParser
import VFIO
import VirtioNet

@main
struct NetCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "netctl", abstract: "Drives virtio network devices that are bound to vfio-pci.",
        subcommands: [Loop.self])
}
