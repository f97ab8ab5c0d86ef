import ArgumentParser

struct DMABufCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dmabuf", abstract: "Share the memory of a device with another program as a revocable dma-buf.",
        subcommands: [DMABufExportCommand.self, DMABufImportCommand.self])

    /// The environment variable that holds the number of the inherited descriptor.
    static let descriptorVariable = "VFIOCTL_DMABUF_FD"
}
