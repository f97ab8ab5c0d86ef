import ArgumentParser
import VFIO
import VFIOMock
import VirtioNet

/// What all commands have in common.
struct MachineOptions: ParsableArguments {
    @Flag(help: "Use a machine in memory in place of the real one.")
    var mock = false

    /// An address space of the machine's kernel.
    func makeSpace() throws -> AddressSpace {
        guard mock else { return try AddressSpace() }
        let machine = MockMachine()
        machine.plug(VirtioNetModel(), at: "0000:03:00.0")
        machine.plug(VirtioNetModel(macAddress: 0x5254_0000_0008), at: "0000:04:00.0")
        return try AddressSpace(kernel: machine.kernel)
    }
}
