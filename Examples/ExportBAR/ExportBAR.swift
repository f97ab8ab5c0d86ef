import ExampleSupport
import VFIO
import VFIOMock

/// Exports a BAR of one device as a dma-buf, and maps it for other devices.
@main
struct ExportBAR {
    static func main() {
        Example(
            "ExportBAR", "A BAR of a device becomes a dma-buf, mapped where other devices reach it, and is revoked.",
            .init("0000:00:04.0", NVMeMemoryModel(), "any device whose BAR 2 is memory, 64 KiB of it or more")
        ).run { machine in
            let space = try AddressSpace(kernel: machine.kernel)
            let device = try Device(at: machine.devices[0], in: space)
            let window = try device.exportDMABuf(of: .bar2, 0..<65536)
            print("exported \(window.byteCount) bytes of BAR 2 of \(device.address): the dma-buf is \(window.state)")

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
}
