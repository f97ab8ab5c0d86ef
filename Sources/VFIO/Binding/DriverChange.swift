public import SystemPackage

/// The writes to sysfs that bind a device to another driver, in order.
///
/// A ``DriverBinding`` makes it; it can be shown before it is applied.
public struct DriverChange: Sendable, Hashable {
    /// A file, and the text to write to it.
    public struct Step: Sendable, Hashable {
        public let path: FilePath
        public let text: String
    }

    /// The device.
    public let address: PCIAddress
    /// The driver that the device was bound to when the change was planned; `nil` for none.
    public let previousDriver: String?
    /// The override at that time; `nil` for none.
    public let previousOverride: String?
    /// The driver that the device is to be bound to; `nil` for none. With ``takesAnyDriver`` the kernel chooses it.
    public let driver: String?
    /// Whether the kernel chooses the driver.
    public let takesAnyDriver: Bool
    /// The writes; empty if none is needed.
    public let steps: [Step]

    /// Whether the change unbinds the device from a driver.
    public var takesDeviceAway: Bool { steps.contains { $0.path.lastComponent == "unbind" } }
}

extension DriverChange.Step: CustomStringConvertible {
    /// A shell command that does the same.
    public var description: String { "echo \(text.isEmpty ? "\"\"" : Self.quoted(text)) > \(Self.quoted("\(path)"))" }

    /// The text as one word of a shell.
    private static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/:._-+@%,=".utf8.contains(byte)
            }
        }
        return isPlain
            ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
