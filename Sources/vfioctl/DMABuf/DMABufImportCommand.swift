import ArgumentParser
import Glibc
import ProgramSupport
import SystemPackage
import VFIO
import VFIOMock

struct DMABufImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Receive a dma-buf from another program and map it for a device's DMA.",
        discussion: """
            The descriptor is inherited, with its number in the variable \(DMABufCommand.descriptorVariable) or in --fd, or received over \
            the Unix socket of --socket. Prints the IOVA of the memory and exits; with --hold it first waits for the end of its input. \
            With --mock the dma-buf is exported by one of the mock's devices.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @Option(
        name: .customLong("for"), help: ArgumentHelp("The device that accesses the memory.", valueName: "bdf"),
        transform: PCIAddress.parse)
    var device: PCIAddress
    @Option(help: ArgumentHelp("An inherited descriptor.", valueName: "number"))
    var fd: Int32?
    @Option(help: ArgumentHelp("A Unix socket to connect to.", valueName: "path"))
    var socket: String?
    @Flag(help: "Keep it mapped until the end of input.")
    var hold = false

    func validate() throws {
        guard fd == nil || socket == nil else { throw ValidationError("give --fd or --socket, not both") }
        guard !machine.mock || fd == nil && socket == nil else {
            throw ValidationError("with --mock the dma-buf is one of the mock's; leave --fd and --socket out")
        }
    }

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
