import Glibc
import SystemPackage
import VFIO
import VFIOMock

/// Exports a BAR of one device as a dma-buf, and maps it where other devices reach it.
///
/// `ExportBAR` runs on a mock kernel; `ExportBAR BDF` exports BAR 2 of a real device, bound to vfio-pci.
@main
struct ExportBAR {
    static func main() {
        do {
            if let argument = CommandLine.arguments.dropFirst().first {
                guard let address = PCIAddress(argument) else {
                    return fail("usage: ExportBAR [0000:00:04.0]", status: 64)
                }
                try export(address, kernel: HostKernel())
            } else {
                let machine = MockMachine()
                machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
                try export("0000:00:04.0", kernel: machine.kernel)
            }
        } catch {
            fail("ExportBAR: \(error)", status: 1)
        }
    }

    private static func export(_ address: PCIAddress, kernel: any Kernel) throws(VFIOError) {
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

    private static func fail(_ message: String, status: Int32) {
        // Swift's own report of an error at the top level is a crash, with a backtrace.
        _ = try? FileDescriptor.standardError.writeAll(Array("\(message)\n".utf8))
        exit(status)
    }
}
