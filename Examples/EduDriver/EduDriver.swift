import Edu
import ExampleSupport
import VFIO
import VFIOMock

/// Uses QEMU's edu: its registers, its DMA and its interrupt. The driver itself is `Examples/Edu`.
@main
struct EduDriver {
    static func main() {
        Example(
            "EduDriver", "How a driver reads: registers, DMA, an interrupt, and what goes wrong.",
            .init("0000:00:02.0", EduModel(), "QEMU's edu")
        ).run { machine in
            let space = try AddressSpace(kernel: machine.kernel)
            let edu = try Edu(at: machine.devices[0], in: space)
            let version = try edu.version()
            print("\(machine.devices[0]) is an edu of version \(version.major).\(version.minor)")
            print("10! is \(try edu.factorial(of: 10))")

            // Memory that the CPU and the device share. The device gets its IOVA, not its CPU address.
            let buffer = try space.allocate(byteCount: 4096)
            buffer.write("there and back again")
            try edu.load(64, from: buffer.iova)
            try edu.store(64, to: buffer.iova + 1024)
            print("through the device's buffer by DMA, seen by polling: \(buffer.text(at: 1024))")

            try edu.store(64, to: buffer.iova + 2048, completion: .interrupt)
            print("and once more, told by the interrupt: \(buffer.text(at: 2048))")

            // The driver rejects invalid arguments without accessing the device.
            do {
                try edu.load(5000, from: buffer.iova)
            } catch EduError.byteCount(let count) {
                print("\(count) bytes at once were refused: the device's buffer has \(Edu.bufferByteCount)")
            }

            // Nothing is mapped at this address, so the IOMMU refuses the read and the device gets zeros.
            let nowhere = buffer.iova + 0x10_0000
            try edu.copy(64, from: nowhere, to: buffer.iova)
            print("from \(nowhere), where nothing is mapped, it got \(buffer.text()): \(machine.lastFault())")

            try buffer.close()
            try edu.close()
        }
    }
}
