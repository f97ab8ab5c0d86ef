import ArgumentParser

/// The command line tool of swift-vfio.
@main
struct VFIOCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfioctl",
        abstract: "See what VFIO, iommufd and dma-bufs do, on real devices or on a mock kernel.",
        subcommands: [DemoCommand.self]
    )
}
