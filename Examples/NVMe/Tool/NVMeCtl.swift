import ArgumentParser

/// The tool of the NVMe driver.
@main
struct NVMeCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nvmectl",
        abstract: "Use an NVMe disk from user space, through swift-vfio.",
        subcommands: [InfoCommand.self]
    )
}
