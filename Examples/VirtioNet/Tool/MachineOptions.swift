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

/// How frames are sent and received.
struct BurstOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The most frames that are handled at once.", valueName: "n"))
    var batch = 32

    func validate() throws {
        guard (1...4096).contains(batch) else { throw ValidationError("a batch has 1 to 4096 frames") }
    }
}

extension PCIAddress {
    /// An argument that names a device.
    static func parse(_ argument: String) throws -> PCIAddress {
        guard let address = PCIAddress(argument) else {
            throw ValidationError("'\(argument)' is no address of a device, such as 0000:03:00.0")
        }
        return address
    }
}
