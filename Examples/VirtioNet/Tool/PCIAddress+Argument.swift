import ArgumentParser
import VFIO

extension PCIAddress {
    /// An argument that names a device.
    static func parse(_ argument: String) throws -> PCIAddress {
        guard let address = PCIAddress(argument) else {
            throw ValidationError("'\(argument)' is no address of a device, such as 0000:03:00.0")
        }
        return address
    }
}
