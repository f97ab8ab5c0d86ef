import Dispatch
import ExampleSupport
import ProgramSupport
import SystemPackage
import VFIO
import VFIOMock

/// Two processes, each with its own device: one sends its device's memory to the other as a dma-buf, over a Unix
/// socket.
///
/// The program starts itself a second time for the other side. The mock exists in one process only, so there the other
/// side is a thread.
@main
struct ShareDMABuf {
    /// The option of the second process; its device follows, and the socket is descriptor 3.
    private static let importOption = "--import"

    static func main() {
        let arguments = CommandLine.arguments
        if arguments.count == 3, arguments[1] == importOption, let device = PCIAddress(arguments[2]) {
            StandardOutput.protect()
            let channel = Channel(FileDescriptor(rawValue: SecondProcess.inheritedNumber))
            return runImporter(Importer(device: device, kernel: HostKernel(), channel: channel))
        }
        Example(
            "ShareDMABuf",
            "A process gives another its device's memory as a dma-buf, over a Unix socket; it is revoked. Needs iommufd.",
            .init("0000:00:02.0", EduModel(), "QEMU's edu, the importer's"),
            .init("0000:00:03.0", SharedMemoryModel(), "any device whose BAR 2 is memory; its start is overwritten")
        ).run { machine in
            let (here, there) = try Channel.makePair()
            let importer = Importer(device: machine.devices[0], kernel: machine.kernel, channel: there)
            let exporter = Exporter(device: machine.devices[1], kernel: machine.kernel, channel: here)
            if machine.mock != nil {
                let second = DispatchGroup()
                DispatchQueue.global().async(group: second) { runImporter(importer) }
                try exporter.run()
                second.wait()
            } else {
                let second = try SecondProcess([importOption, "\(importer.device)"], inheriting: there)
                try exporter.run()
                try second.wait()
            }
        }
    }

    private static func runImporter(_ importer: Importer) {
        do {
            try importer.run()
        } catch {
            Example.fail("ShareDMABuf, importer: \(error)", status: 1)
        }
    }
}
