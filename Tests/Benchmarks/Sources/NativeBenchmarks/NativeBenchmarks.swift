import Harness
import VFIO
import VFIOMock

/// What can be measured without a device: natively, on the machine that this runs on.
@main
struct NativeBenchmarks {
    static func main() throws {
        let registers = try RegisterFixture()
        let calls = try CallFixture()
        Program.run(registers.rows + calls.rows)
    }
}
