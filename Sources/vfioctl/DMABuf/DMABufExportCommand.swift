import ArgumentParser
import SystemPackage
import VFIO

struct DMABufExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Export a part of a BAR as a dma-buf, and pass its descriptor to a program.",
        usage: "vfioctl dmabuf export <bdf> <bar> <ranges> (--socket <path> | -- <command> ...)",
        discussion: """
            The program is either a command after --, which inherits the descriptor, with its number in the variable \
            \(DMABufCommand.descriptorVariable), or one that connects to the Unix socket of --socket and receives it (SCM_RIGHTS). The device \
            stays open until the command or the connection ends; then the kernel revokes the memory permanently. The exit status is \
            the command's.

            Several ranges are exported as one dma-buf, in the given order; an iommufd can only map a dma-buf with one range.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var options: DeviceOptions
    @Argument(help: "The BAR: bar0 to bar5.")
    var bar: RegionArgument
    @Argument(
        help: ArgumentHelp(
            "START..END in bytes from the start of the BAR, multiples of a page; several with commas between them, or \"all\".",
            discussion: "Numbers may end in K, M or G: 0..64K,1M..2M."))
    var ranges: ByteRangesArgument
    @Option(help: "The dma-buf's name in /sys/kernel/debug/dma_buf and in fdinfo, at most 31 bytes.")
    var name: String?
    @Flag(help: "Export it read-only.")
    var readOnly = false
    @Option(help: ArgumentHelp("Wait for a connection to this Unix socket.", valueName: "path"))
    var socket: String?
    @Argument(parsing: .postTerminator, help: "The command that inherits the descriptor.")
    var command: [String] = []

    func validate() throws {
        guard (socket == nil) != command.isEmpty else {
            throw ValidationError("say who gets the dma-buf: either --socket PATH or -- COMMAND")
        }
    }

    func run() throws {
        let device = try options.open(machine)
        let watch = try device.watch()
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let size = try device.region(bar.index).byteCount
        let window = try device.exportDMABuf(
            of: bar.index, ranges: ranges.ranges ?? [0..<size], access: readOnly ? .read : .readWrite)
        if let name { try window.setName(name) }
        if let socket {
            let event = try UnixListener.send(window, over: socket, watching: watch)
            try close(watch, window, device)
            if let event { throw Self.failure(event, options.device) }
        } else {
            let child = try window.withFileDescriptor { descriptor in
                try ChildProcess(command, handing: descriptor, by: DMABufCommand.descriptorVariable)
            }
            let event = try child.wait(watching: watch)
            try close(watch, window, device)
            if let event {
                try FileDescriptor.standardError.writeAll("Error: \(Self.failure(event, options.device))\n".utf8)
            }
            let status = try child.exitStatus()
            if status != 0 { throw ExitCode(status) }
        }
    }

    private func close(
        _ watch: consuming DeviceWatch, _ window: consuming DMABuf, _ device: consuming Device
    ) throws(VFIOError) {
        try window.close()
        try watch.close()
        try device.close()
    }

    /// The end of an export that the host has asked for.
    private static func failure(_ event: DeviceEvent, _ address: PCIAddress) -> VFIOError {
        VFIOError(
            event == .releaseRequested ? .busy : .deviceGone, "export the dma-buf", "\(address)",
            hint: "\(event); its memory is revoked for good")
    }
}
