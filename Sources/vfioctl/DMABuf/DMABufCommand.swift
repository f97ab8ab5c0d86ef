import ArgumentParser

/// `vfioctl dmabuf`.
struct DMABufCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmabuf", abstract: "Hand the memory of a device to another program, revocably, and take it.",
        subcommands: [DMABufExportCommand.self, DMABufImportCommand.self])

    /// The variable that tells a program the number of the descriptor that it has inherited.
    static let descriptorVariable = "VFIOCTL_DMABUF_FD"
}
