import Edu
import ExampleSupport
import VFIO
import VFIOMock

/// Lets one device access the memory of another by DMA, through a dma-buf that the kernel revokes.
@main
struct PeerToPeer {
    static func main() {
        Example(
            "PeerToPeer",
            "A device does DMA in another's memory through a dma-buf, until the kernel takes it away. Needs iommufd.",
            .init("0000:00:02.0", EduModel(), "QEMU's edu, which does the DMA"),
            .init("0000:00:04.0", NVMeMemoryModel(), "any device whose BAR 2 is memory; its start is overwritten")
        ).run { machine in
            let space = try AddressSpace(.iommufd, kernel: machine.kernel)
            let edu = try Edu(at: machine.devices[0], in: space)
            let exporter = try Device(at: machine.devices[1], in: space)
            try exporter.config.updateCommand { $0.insert(.memoryDecode) }
            let bar = try exporter.map(.bar2, 0..<4096)
            let buffer = try space.allocate(byteCount: 4096)

            let window = try exporter.exportDMABuf(of: .bar2, 0..<4096)
            let peer = try space.map(window)
            print("BAR 2 of \(exporter.address) is at \(peer.iova) for \(machine.devices[0]): \(peer.state)")

            bar.write("from the CPU, by way of the BAR")
            try edu.copy(64, from: peer.iova, to: buffer.iova)
            print("the device read it out of the other device: \(buffer.text())")
            try check(buffer.text() == bar.text())

            buffer.write("from memory, by way of the device")
            try edu.copy(64, from: buffer.iova, to: peer.iova)
            print("and wrote into it: \(bar.text())")
            try check(buffer.text() == bar.text())

            // Either revokes the memory for all importers.
            if exporter.info.canReset {
                try exporter.reset()
                print("\(exporter.address) was reset: the mapping is \(peer.state), the dma-buf \(window.state)")
            } else {
                try exporter.config.updateCommand { $0.remove(.memoryDecode) }
                try exporter.config.updateCommand { $0.insert(.memoryDecode) }
                print("memory decode was off: the mapping is \(peer.state), the dma-buf \(window.state)")
            }
            try check(peer.state == .revoked)
            bar.write("what nobody else may see")
            try edu.copy(64, from: peer.iova, to: buffer.iova)
            print("now the device reads \(buffer.text()): \(machine.lastFault())")
            try check(buffer.text() == "\"\"")

            try peer.restore()
            bar.write("what it may see again")
            try edu.copy(64, from: peer.iova, to: buffer.iova)
            print("restored: the mapping is \(peer.state), and the device reads \(buffer.text())")
            try check(buffer.text() == bar.text())

            try peer.close()
            try window.close()
            try bar.close()
            try buffer.close()
            try exporter.close()
            try edu.close()
        }
    }

    private static func check(_ isAsTold: Bool) throws(Example.Failure) {
        try Example.require(isAsTold, "the last line is not what should have happened")
    }
}
