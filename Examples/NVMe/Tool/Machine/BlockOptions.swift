import ArgumentParser
import NVMe

/// The blocks that a command reads or writes.
struct BlockOptions: ParsableArguments {
    // No default, because block 0 usually holds the partition table.
    @Option(help: "The first block.")
    var block: UInt64

    @Option(help: "The number of blocks.")
    var count = 1

    func validate() throws {
        guard count > 0 else { throw ValidationError("--count is at least 1") }
    }

    /// Checks that the blocks exist.
    func check(_ disk: Namespace) throws {
        guard block < disk.blockCount, UInt64(count) <= disk.blockCount - block else {
            throw ValidationError(
                disk.blockCount == 0
                    ? "the namespace has no blocks"
                    : "the namespace has the blocks 0 to \(disk.blockCount - 1)")
        }
    }
}
