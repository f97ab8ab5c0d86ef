import ArgumentParser
import NVMe

/// Which blocks a command is about.
struct BlockOptions: ParsableArguments {
    // Without a default: on a disk, block 0 is what says where everything else is.
    @Option(help: "The first block.")
    var block: UInt64

    @Option(help: "How many blocks.")
    var count = 1

    func validate() throws {
        guard count > 0 else { throw ValidationError("--count is at least 1") }
    }

    /// Makes sure that the blocks are there.
    func check(_ disk: Namespace) throws {
        guard block < disk.blockCount, UInt64(count) <= disk.blockCount - block else {
            throw ValidationError("the namespace has the blocks 0 to \(disk.blockCount - 1)")
        }
    }
}
