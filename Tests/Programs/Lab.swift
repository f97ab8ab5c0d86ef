import Foundation
import Testing

/// The machine of the lab that the tests run on, and what is done there besides running `vfioctl`.
enum Lab {
    /// `standard`, `no-iommu`, `blocked`, `one-to-one` or `hotplug`; `nil` outside of the lab.
    static let machine = ProcessInfo.processInfo.environment["SWIFT_VFIO_LAB_MACHINE"]

    static func isMachine(_ name: String) -> Bool { machine == name }

    /// Whether the kernel reports the errors of PCI Express (AER): it then has their counts in sysfs.
    static var handlesErrors: Bool {
        FileManager.default.fileExists(atPath: "/sys/bus/pci_express/drivers/aer")
    }

    static func hint(_ name: String) -> Comment {
        "changes a machine, so only in the lab: Tests/Lab/\(name == "hotplug" ? name : "vfioctl"), which runs it with --machine \(name)"
    }

    /// Runs a command of the kind that `vfioctl doctor` gives, as root, with `vfioctl` in the search path.
    static func shell(_ command: String) throws -> Program.Result {
        try Program(path: "/bin/sh").run(arguments: ["-c", "PATH=\(Program.buildFolder.path):$PATH; \(command)"])
    }

    /// Follows what `doctor` says, one command after the other, until it finds nothing wrong.
    ///
    /// - Returns: The commands.
    static func follow(_ doctor: () throws -> Program.Result) throws -> [String] {
        var commands: [String] = []
        for _ in 0..<8 {
            let result = try doctor()
            if result.status == 0 { return commands }
            let line = try #require(result.output.split(separator: "\n").last { $0.hasPrefix("Next: ") })
            let command = String(line.dropFirst("Next: ".count))
            commands.append(command)
            let done = try shell(command)
            #expect(done.status == 0, "\(command): \(done.errors)")
        }
        Issue.record("still not well after \(commands)")
        return commands
    }
}
