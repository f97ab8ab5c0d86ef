import Glibc
import SystemPackage
public import VFIO
public import VFIOMock

/// What every example does besides its one thing: it takes devices from its arguments, or else makes up a mock machine, and
/// says what went wrong.
public struct Example: Sendable {
    /// How the program is called.
    public let name: String
    /// The devices that it wants: where they are on the mock, which is also where the lab has them, and what they are.
    public let devices: [(address: PCIAddress, model: any MockDevice)]

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

    public init(_ name: String, _ devices: KeyValuePairs<PCIAddress, any MockDevice>) {
        self.name = name
        self.devices = devices.map { ($0.key, $0.value) }
    }

    /// Runs the example on the real kernel with the devices of the command line, or without any on the mock.
    public func run(_ body: (Machine) throws -> Void) {
        let arguments = CommandLine.arguments.dropFirst()
        do {
            if arguments.isEmpty { return try body(mockMachine()) }
            let addresses = arguments.compactMap { PCIAddress($0) }
            guard addresses.count == arguments.count, addresses.count == devices.count else {
                let usage = devices.map { "\($0.address)" }.joined(separator: " ")
                return Self.fail("usage: \(name) [\(usage)]", status: 64)
            }
            try body(Machine(kernel: HostKernel(), devices: addresses, mock: nil))
        } catch {
            Self.fail("\(name): \(error)", status: 1)
        }
    }

    /// A mock machine with the devices.
    public func mockMachine() -> Machine {
        let mock = MockMachine()
        for (address, model) in devices { mock.plug(model, at: address) }
        return Machine(kernel: mock.kernel, devices: devices.map(\.address), mock: mock)
    }

    /// Ends the program with a complaint. Swift's own report of an error at the top level is a crash, with a backtrace.
    public static func fail(_ message: String, status: Int32) {
        fflush(nil)
        _ = try? FileDescriptor.standardError.writeAll(Array("\(message)\n".utf8))
        exit(status)
    }

    /// Holds the example to its word.
    public static func require(_ condition: Bool, _ complaint: String) throws(Failure) {
        guard condition else { throw Failure(complaint) }
    }
}
