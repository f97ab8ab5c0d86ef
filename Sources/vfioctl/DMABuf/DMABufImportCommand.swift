import ArgumentParser
import Glibc
import ProgramSupport
import SystemPackage
import VFIO
import VFIOMock

/// `vfioctl dmabuf import`.
struct DMABufImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take a dma-buf from another program and map it for the DMA of a device.",
        discussion: """
            The descriptor is the inherited one that the variable \(DMABufCommand.descriptorVariable) names, that of --fd, or one that comes \
            over the Unix socket of --socket. Prints where the device finds the memory, and ends; with --hold it waits for the end of \
            its input first. With --mock the dma-buf is one of the mock's own devices.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @Option(
        name: .customLong("for"), help: ArgumentHelp("The device that is to reach the memory.", valueName: "bdf"),
        transform: PCIAddress.parse)
    var device: PCIAddress
    @Option(help: ArgumentHelp("An inherited descriptor.", valueName: "number"))
    var fd: Int32?
    @Option(help: ArgumentHelp("A Unix socket to connect to.", valueName: "path"))
    var socket: String?
    @Flag(help: "Keep it mapped until the end of input.")
    var hold = false

    func run() throws {
        guard machine.mock else {
            try use(receive())
            return
        }
        let exporter = try SampleMachine.openDisk()
        try use(exporter.exportDMABuf(of: .bar2, 0..<65536))
        try exporter.close()
    }

    private func use(_ window: consuming DMABuf) throws {
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let device = try Device(at: device, in: space)
        let mapping = try space.map(window)
        let report = Report(device: "\(device.address)", byteCount: mapping.byteCount, iova: "\(mapping.iova)")
        if output.json {
            try JSON.print(report)
        } else {
            print("\(report.device) reaches \(report.byteCount) bytes at \(report.iova)")
        }
        if hold {
            // Flush, so that a reader of the line above need not wait until this program exits.
            StandardOutput.flush()
            while readLine() != nil {}
        }
        try mapping.close()
        try window.close()
        try device.close()
    }

    private func receive() throws -> DMABuf {
        if let socket { return try UnixListener.receive(from: socket) }
        let variable = unsafe getenv(DMABufCommand.descriptorVariable).map { unsafe String(cString: $0) }
        guard let number = fd ?? variable.flatMap({ Int32($0) }) else {
            throw ValidationError("no dma-buf: run it below `vfioctl dmabuf export … --`, or give --fd or --socket")
        }
        return try DMABuf(adopting: FileDescriptor(rawValue: number))
    }

    private struct Report: Encodable {
        let device: String
        let byteCount: UInt64
        let iova: String
    }
}
