import Foundation

/// Where the devices of a machine are, and which machine the tests run on.
enum Machines {
    static let first: PCIAddress = "0000:03:00.0"
    static let second: PCIAddress = "0000:04:00.0"
    /// A device that is no network card.
    static let edu: PCIAddress = "0000:00:02.0"

    /// Whether the tests run on the lab's kernel. For whole suites that are about the mock alone, and for this file.
    static let isInLab = ProcessInfo.processInfo.environment["SWIFT_VFIO_LAB"] != nil

    static func make() -> any NetworkMachine { isInLab ? LabNetworkMachine() : MockNetworkMachine() }
}
