import ArgumentParser
import NVMe
import VFIO

/// `nvmectl info`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "info", abstract: "Identify.")
    @Argument var address: String

    func run() throws {
        let space = try AddressSpace()
        let controller = try Controller(Device(at: PCIAddress(address)!, in: space))
        print(controller.info)
        let disk = try controller.namespace()
        print(disk)
        var queue = try controller.makeQueue(depth: 8)
        let buffer = try space.allocate(byteCount: 4096)
        buffer.write64(1, at: 8)
        try queue.read(disk, at: 0, count: 4096 / disk.blockSize, into: buffer.iova)
        print("read", buffer.read64(at: 8))
        try queue.close()
        try buffer.close()
        try controller.close()
    }
}
