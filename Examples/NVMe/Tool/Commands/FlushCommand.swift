import ArgumentParser
import NVMe
import VFIO

/// `nvmectl flush`.
struct FlushCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flush", abstract: "Flush the controller's write cache.")

    @OptionGroup var disk: DiskOptions

    func run() throws {
        let space = try AddressSpace(kernel: disk.makeKernel())
        let controller = try disk.open(in: space)
        let namespace = try disk.namespace(of: controller)
        var queue = try controller.makeQueue(depth: 1)
        try queue.flush(namespace)
        print("flushed namespace \(namespace.id)")
        try queue.close()
        try controller.close()
    }
}
