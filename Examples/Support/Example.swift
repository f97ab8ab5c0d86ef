import Glibc
import ProgramSupport
import SystemPackage
public import VFIO
public import VFIOMock

/// The shared part of the examples: takes devices from the arguments or creates a mock machine, and reports errors.
public struct Example: Sendable {
    /// The program's name.
    public let name: String
    /// A description in one or two sentences.
    public let summary: String
    /// The required devices.
    public let devices: [Part]

    /// The machine to run on.
    public struct Machine: Sendable {
        public let kernel: any Kernel
        /// The addresses of ``Example/devices``, in the same order.
        public let devices: [PCIAddress]
        /// `nil` on the real kernel.
        public let mock: MockMachine?
    }

    /// The example had another result than expected.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String

        public init(_ description: String) { self.description = description }
    }

    public init(_ name: String, _ summary: String, _ devices: Part...) {
        self.name = name
        self.summary = summary
        self.devices = devices
    }

    /// Runs the example on the real kernel with the devices of the command line, or without arguments on the mock.
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

    /// Creates a mock machine with the devices.
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

    /// Prints an error message and exits. An uncaught Swift error would be reported as a crash with a backtrace.
    public static func fail(_ message: String, status: Int32) {
        StandardOutput.flush()
        _ = try? FileDescriptor.standardError.writeAll(Array("\(message)\n".utf8))
        exit(status)
    }

    /// Throws a failure unless the condition holds.
    public static func require(_ condition: Bool, _ complaint: String) throws(Failure) {
        guard condition else { throw Failure(complaint) }
    }
}
