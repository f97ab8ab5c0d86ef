import ArgumentParser

/// `vfioctl dmabuf`.
struct DMABufCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmabuf", abstract: "Hand the memory of a device to another program, revocably, and take it.",
        subcommands: [DMABufExportCommand.self, DMABufImportCommand.self])

    /// The environment variable that holds the number of the inherited descriptor.
    static let descriptorVariable = "VFIOCTL_DMABUF_FD"
}
