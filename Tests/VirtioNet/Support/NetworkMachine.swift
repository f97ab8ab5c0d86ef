import Foundation
import VFIO

/// A kernel with two network cards, each on a network that returns what it is sent, and what tells whether all was closed.
///
/// In the lab it is the kernel that the tests run on, elsewhere a mock with the lab's cards. No test asks which.
protocol NetworkMachine: Sendable {
    var kernel: any Kernel { get }

    /// What is open or mapped now.
    var leftovers: [String] { get }
}

enum Machines {
    static let first: PCIAddress = "0000:03:00.0"
    static let second: PCIAddress = "0000:04:00.0"
    /// A device that is no network card.
    static let edu: PCIAddress = "0000:00:02.0"

    /// Whether the tests run on the lab's kernel. For whole suites that are about the mock alone, and for this file.
    static let isInLab = ProcessInfo.processInfo.environment["SWIFT_VFIO_LAB"] != nil

    static func make() -> any NetworkMachine { isInLab ? LabNetworkMachine() : MockNetworkMachine() }
}
