import ArgumentParser
import ToolSupport
import VFIO
import VFIOMock

/// Options that all commands share.
struct MachineOptions: ParsableArguments {
    @Flag(help: ArgumentHelp(SampleMachine.help, discussion: SampleMachine.discussion))
    var mock = false

    /// Returns a new address space of the machine's kernel.
    func makeSpace() throws -> AddressSpace {
        try mock ? AddressSpace(kernel: SampleMachine.make().kernel) : AddressSpace()
    }
}
