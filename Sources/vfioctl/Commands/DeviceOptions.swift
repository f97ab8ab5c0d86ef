import ArgumentParser
import VFIO

/// The device that a command opens.
struct DeviceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The VF token, for a virtual function or a physical function that has some.", valueName: "uuid"),
        transform: VFToken.parse)
    var token: VFToken?
    @Argument(help: ArgumentHelp("The device.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    /// Opens the device in a new address space, using iommufd if available.
    func open(_ machine: MachineOptions) throws(VFIOError) -> Device {
        try Device(at: device, in: AddressSpace(kernel: machine.kernel), token: token)
    }
}

extension PCIAddress {
    static func parse(_ argument: String) throws -> PCIAddress {
        guard let address = PCIAddress(argument) else {
            throw ValidationError("'\(argument)' is no PCI address; one looks like 0000:00:04.0")
        }
        return address
    }
}

extension VFToken {
    static func parse(_ argument: String) throws -> VFToken {
        guard let token = VFToken(argument) else {
            throw ValidationError("'\(argument)' is no UUID; one looks like 2ab74924-c335-45f4-9b16-8569e5b08258")
        }
        return token
    }
}
