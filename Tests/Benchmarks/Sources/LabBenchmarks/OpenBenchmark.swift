import CBaseline
import Harness
import VFIO

/// From nothing to the value of a device's first register, for one device and for all that the lab has, each in a thread of
/// its own. Closing them again is not measured.
enum OpenBenchmark {
    /// Where the devices are, and which BAR of each holds registers.
    static let devices: [(address: PCIAddress, name: String, bar: UInt32)] = [
        ("0000:00:02.0", "0000:00:02.0", 0), ("0000:00:03.0", "0000:00:03.0", 0),
        ("0000:00:04.0", "0000:00:04.0", 0), ("0000:01:00.0", "0000:01:00.0", 0),
        ("0000:01:00.1", "0000:01:00.1", 0), ("0000:02:00.0", "0000:02:00.0", 0),
        ("0000:03:00.0", "0000:03:00.0", 4),
    ]

    static func run(_ interface: AddressSpace.Interface) async throws {
        try await Event("open-1-\(interface)", "open edu, read its first register") {
            try LibraryOpening(interface).one()
        } baseline: {
            try BaselineOpening(interface).one()
        }.measure(rounds: 200)
        // A group of two devices is opened once for each of them in C too, which type1 does not allow.
        guard interface == .iommufd else { return }
        try await Event("open-\(devices.count)-\(interface)", "open all devices, read a register of each") {
            try LibraryOpening(interface).all()
        } baseline: {
            try BaselineOpening(interface).all()
        }.measure(rounds: 15)
    }
}
