import ArgumentParser
import ToolSupport
import VFIO
import VFIOMock

/// What all commands have in common.
struct MachineOptions: ParsableArguments {
    @Flag(help: ArgumentHelp(SampleMachine.help, discussion: SampleMachine.discussion))
    var mock = false

    /// An address space of the machine's kernel.
    func makeSpace() throws -> AddressSpace {
        try mock ? AddressSpace(kernel: SampleMachine.make().kernel) : AddressSpace()
    }
}
