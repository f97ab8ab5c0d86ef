import VFIO
import VFIOMock

/// Exports a BAR of one device as a dma-buf, and maps it where other devices reach it.
///
/// `ExportBAR` runs on a mock kernel; `ExportBAR BDF` exports BAR 2 of a real device, bound to vfio-pci.
@main
struct ExportBAR {
    static func main() throws {
        let machine = MockMachine()
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        let argument = CommandLine.arguments.dropFirst().first
        let kernel: any Kernel = argument == nil ? machine.kernel : HostKernel()
        guard let address = PCIAddress(argument ?? "0000:00:04.0") else {
            throw UsageError(description: "usage: ExportBAR [0000:00:04.0]")
        }

        let space = try AddressSpace(kernel: kernel)
        let device = try Device(at: address, in: space)
        let window = try device.exportDMABuf(of: .bar2, 0..<65536)
        print("exported \(window.byteCount) bytes of BAR 2 of \(address): the dma-buf is \(window.state)")

        guard space.interface == .iommufd else { return print("type1 cannot map a dma-buf; iommufd can") }
        let peer = try space.map(window)
        print("devices of this address space reach it at \(peer.iova): the mapping is \(peer.state)")

        try device.config.updateCommand { $0.remove(.memoryDecode) }
        print("memory decode off: the mapping is \(peer.state)")
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        try peer.restore()
        print("on again, and restored: the mapping is \(peer.state)")
    }
}

struct UsageError: Error, CustomStringConvertible {
    let description: String
}
