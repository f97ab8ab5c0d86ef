import Edu
import ExampleSupport
import VFIO
import VFIOMock

/// Shows why a BAR must not be mapped into a type1 container, and the alternative.
///
/// `seeds/README.md` has the background: type1 reads the physical address of a BAR from the page table, and is not
/// notified when the BAR's device is closed.
@main
struct Type1Hazard {
    private static let secret = "of the next owner of the device"

    static func main() {
        Example(
            "Type1Hazard",
            "The use-after-free of mapping a BAR into a type1 container, and dma-bufs, the way that ends it.",
            .init("0000:00:02.0", EduModel(), "QEMU's edu, which reads the other's memory"),
            .init("0000:00:03.0", SharedMemoryModel(), "any device whose BAR 2 is memory; its start is overwritten")
        ).run { machine in
            try useAfterFree(machine)
            do {
                try withDMABuf(machine)
            } catch let error as VFIOError where error.code == .unsupported {
                print("this kernel has no safe way for one device to reach another: \(error)")
            }
        }
    }

    /// The type1 method.
    private static func useAfterFree(_ machine: Example.Machine) throws {
        let space = try AddressSpace(.type1, kernel: machine.kernel)
        let edu = try Edu(at: machine.devices[0], in: space)
        let buffer = try space.allocate(byteCount: 4096)
        // The owner of the memory has its own address space, and no relation to the edu.
        let owner = try Device(at: machine.devices[1], in: AddressSpace(.type1, kernel: machine.kernel))
        try owner.config.updateCommand { $0.insert(.memoryDecode) }
        let bar = try owner.map(.bar2, 0..<4096)
        bar.write(secret)
        let mapping = try unsafe space.unsafelyMapWithoutRevocation(bar)
        try bar.close()
        try owner.close()
        print("type1: \(machine.devices[1]) is closed, with its last descriptor and its last mapping")
        try edu.copy(64, from: mapping.iova, to: buffer.iova)
        print("type1: \(machine.devices[0]) still reads its memory: \(buffer.text())")
        try Example.require(buffer.text() == "\"\(secret)\"", "the use after free did not happen")
        try mapping.close()
        try buffer.close()
        try edu.close()
    }

    /// The dma-buf method.
    private static func withDMABuf(_ machine: Example.Machine) throws {
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        let edu = try Edu(at: machine.devices[0], in: space)
        let buffer = try space.allocate(byteCount: 4096)
        let owner = try Device(at: machine.devices[1], in: AddressSpace(.iommufd, kernel: machine.kernel))
        try owner.config.updateCommand { $0.insert(.memoryDecode) }
        let bar = try owner.map(.bar2, 0..<4096)
        bar.write(secret)
        let peer = try space.map(owner.exportDMABuf(of: .bar2, 0..<4096))
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        print("iommufd: through a dma-buf \(machine.devices[0]) reads \(buffer.text())")
        try Example.require(buffer.text() == "\"\(secret)\"", "the device did not read the other one's memory")
        try bar.close()
        try owner.close()
        print("iommufd: \(machine.devices[1]) is closed: the mapping is \(peer.state)")
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        print("iommufd: \(machine.devices[0]) reads \(buffer.text()): \(machine.lastFault())")
        try Example.require(buffer.text() == "\"\"", "the memory outlived its owner")
        try peer.close()
        try buffer.close()
        try edu.close()
    }
}
