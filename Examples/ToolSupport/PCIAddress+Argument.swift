import ArgumentParser
public import VFIO

extension PCIAddress {
    /// Parses a device address.
    ///
    /// - Throws: A `ValidationError` for an invalid address.
    public static func parse(_ argument: String) throws -> PCIAddress {
        guard let address = PCIAddress(argument) else {
            throw ValidationError("'\(argument)' is no PCI address; one looks like 0000:00:04.0")
        }
        return address
    }
}
