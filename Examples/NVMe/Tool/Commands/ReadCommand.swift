import ArgumentParser
import NVMe
import VFIO

/// `nvmectl read`.
struct ReadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read", abstract: "Read blocks and show them in hexadecimal.")

    @OptionGroup var disk: DiskOptions
    @OptionGroup var blocks: BlockOptions

    func run() throws {
        let space = try AddressSpace(kernel: disk.makeKernel())
        let controller = try disk.open(in: space)
        let namespace = try disk.namespace(of: controller)
        try blocks.check(namespace)
        let buffer = try space.allocate(byteCount: blocks.count * namespace.blockSize)
        var queue = try controller.makeQueue()
        try queue.readAll(namespace, at: blocks.block, count: blocks.count, into: buffer)
        let bytes = buffer.bytes(count: blocks.count * namespace.blockSize)
        for line in Hexadecimal.lines(bytes, from: blocks.block * UInt64(namespace.blockSize)) { print(line) }
        try queue.close()
        try buffer.close()
        try controller.close()
    }
}
