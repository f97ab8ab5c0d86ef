import Harness
import VFIO
import VFIOMock

/// What can be measured without a device: natively, on the machine that this runs on.
@main
struct NativeBenchmarks {
    static func main() throws {
        let registers = try RegisterFixture()
        let calls = try CallFixture()
        let sizes = [("1k", 1000), ("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)]
        let allocators = sizes.map { AllocatorFixture(count: $1).row($0) }
        let queues = try [1, 32].map { try NVMeFixture(depth: $0).row }
        let forwarders = try [1, 32, 256].map { try ForwardFixture(batch: $0).row }
        Program.run(registers.rows + calls.rows + allocators + queues + forwarders)
    }
}
