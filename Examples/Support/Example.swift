import Glibc
import ProgramSupport
import SystemPackage
public import VFIO
public import VFIOMock

/// What every example does besides its one thing: it takes devices from its arguments, or else makes up a mock machine, and
/// says what went wrong.
public struct Example: Sendable {
    /// How the program is called.
    public let name: String
    /// What it shows, in a sentence or two.
    public let summary: String
    /// The devices that it wants.
    public let devices: [Part]

    /// A machine to run on.
    public struct Machine: Sendable {
        public let kernel: any Kernel
        /// As many as the example has ``Example/devices``, in their order.
        public let devices: [PCIAddress]
        /// `nil` on the real kernel.
        public let mock: MockMachine?
    }

    /// What the example set out to show did not happen.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String

        public init(_ description: String) { self.description = description }
    }

    public init(_ name: String, _ summary: String, _ devices: Part...) {
        self.name = name
        self.summary = summary
        self.devices = devices
    }

    /// Runs the example on the real kernel with the devices of the command line, or without any on the mock.
    public func run(_ body: (Machine) throws -> Void) {
        StandardOutput.protect()
        let arguments = CommandLine.arguments.dropFirst()
        do {
            if arguments.isEmpty { return try body(mockMachine()) }
            if arguments.contains("--help") || arguments.contains("-h") { return print(help) }
            let addresses = arguments.compactMap { PCIAddress($0) }
            guard addresses.count == arguments.count, addresses.count == devices.count else {
                return Self.fail(usage, status: 64)
            }
            try body(Machine(kernel: HostKernel(), devices: addresses, mock: nil))
        } catch {
            Self.fail("\(name): \(error)", status: 1)
        }
    }

    /// A mock machine with the devices.
    public func mockMachine() -> Machine {
        let mock = MockMachine()
        for device in devices { mock.plug(device.model, at: device.address) }
        return Machine(kernel: mock.kernel, devices: devices.map(\.address), mock: mock)
    }

    private var usage: String { "usage: \(name) [\(devices.map { "\($0.address)" }.joined(separator: " "))]" }

    private var help: String {
        let list = devices.map { "    \($0.address)  \($0.description)" }.joined(separator: "\n")
        return """
            \(summary)

            \(usage)

            Without arguments it runs on a mock kernel, in memory, and touches nothing of this machine. With the addresses of
            devices it runs on the real kernel. They have to be bound to vfio-pci (`vfioctl bind`), and in this order to be:

            \(list)

            These addresses are those of the mock and of the project's lab; on other machines they are others.
            """
    }

    /// Ends the program with a complaint. Swift's own report of an error at the top level is a crash, with a backtrace.
    public static func fail(_ message: String, status: Int32) {
        StandardOutput.flush()
        _ = try? FileDescriptor.standardError.writeAll(Array("\(message)\n".utf8))
        exit(status)
    }

    /// Holds the example to its word.
    public static func require(_ condition: Bool, _ complaint: String) throws(Failure) {
        guard condition else { throw Failure(complaint) }
    }
}
