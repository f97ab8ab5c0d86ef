public import SystemPackage

/// How a device comes to another driver: the files of sysfs that are to be written, in order.
///
/// A ``DriverBinding`` makes it; it can be shown before it is carried out.
public struct DriverChange: Sendable, Hashable {
    /// A file, and what to write to it.
    public struct Step: Sendable, Hashable {
        public let path: FilePath
        public let text: String
    }

    /// The device.
    public let address: PCIAddress
    /// The driver that held it when this was made; `nil` for none.
    public let previousDriver: String?
    /// The override that was set then; `nil` for none.
    public let previousOverride: String?
    /// The driver that is to hold it afterwards; `nil` for none. With ``takesAnyDriver`` it is whichever driver of the
    /// kernel knows the device.
    public let driver: String?
    /// Whether the kernel chooses the driver.
    public let takesAnyDriver: Bool
    /// What is to be done; empty when nothing is.
    public let steps: [Step]

    /// Whether a driver loses the device by it.
    public var takesDeviceAway: Bool { steps.contains { $0.path.lastComponent == "unbind" } }
}

extension DriverChange.Step: CustomStringConvertible {
    /// A shell command that does the same.
    public var description: String { "echo \(text.isEmpty ? "\"\"" : text) > \(path)" }
}
