import ArgumentParser
import NVMe
import VFIO

/// `nvmectl write`.
struct WriteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "write", abstract: "Overwrite blocks with a text or a byte, and flush.",
        discussion: "The previous content of the blocks is lost.")

    @OptionGroup var disk: DiskOptions
    @OptionGroup var blocks: BlockOptions

    @Option(help: "The text at the start of the first block. The rest is filled.")
    var text = ""

    @Option(help: "The byte that fills the rest.")
    var fill: UInt8 = 0

    func run() throws {
        let space = try AddressSpace(kernel: disk.makeKernel())
        let controller = try disk.open(in: space)
        let namespace = try disk.namespace(of: controller)
        try blocks.check(namespace)
        let byteCount = blocks.count * namespace.blockSize
        guard text.utf8.count <= byteCount else {
            throw ValidationError("the text has \(text.utf8.count) bytes, and the blocks \(byteCount)")
        }
        let buffer = try space.allocate(byteCount: byteCount)
        var queue = try controller.makeQueue()
        buffer.copy(Array(text.utf8) + [UInt8](repeating: fill, count: byteCount - text.utf8.count))
        try queue.writeAll(namespace, at: blocks.block, count: blocks.count, from: buffer)
        try queue.flush(namespace)
        print("wrote \(blocks.count) blocks from \(blocks.block) on, and flushed")
        try queue.close()
        try buffer.close()
        try controller.close()
    }
}
