import VFIO

/// QEMU's `edu` device as a DMA engine: it moves bytes between the bus and a small buffer of its own.
///
/// The registers are those of QEMU's documentation, `docs/specs/edu`.
struct EduEngine {
    private enum Register {
        static let source = 0x80
        static let destination = 0x88
        static let count = 0x90
        static let command = 0x98
    }

    private enum Command {
        static let start: UInt64 = 1 << 0
        static let fromDevice: UInt64 = 1 << 1
    }

    private static let bufferAddress: UInt64 = 0x40000
    private static let timeout = Duration.seconds(10)

    /// Makes sure that the device is an edu.
    init(_ device: borrowing Device) throws(VFIOError) {
        let (vendor, number) = (try device.config.vendorID(), try device.config.deviceID())
        guard vendor == 0x1234, number == 0x11e8 else {
            throw VFIOError(
                .unsupported, "use the device as a DMA engine", "\(device.address)",
                hint: "the demo knows how to make QEMU's edu (1234:11e8) do DMA, and this is "
                    + "\(String(vendor, radix: 16)):\(String(number, radix: 16))")
        }
    }

    /// Reads from the bus into the device's buffer.
    func fetch(from iova: IOVA, count: Int, on device: borrowing Device) throws {
        try run(
            source: iova.rawValue, destination: Self.bufferAddress, count: count, command: Command.start, on: device)
    }

    /// Writes from the device's buffer to the bus.
    func store(to iova: IOVA, count: Int, on device: borrowing Device) throws {
        try run(
            source: Self.bufferAddress, destination: iova.rawValue, count: count,
            command: Command.start | Command.fromDevice, on: device)
    }

    private func run(
        source: UInt64, destination: UInt64, count: Int, command: UInt64, on device: borrowing Device
    ) throws {
        let isDone = try device.withRegisters(.bar0) { registers in
            registers.write64(source, at: Register.source)
            registers.write64(destination, at: Register.destination)
            registers.write64(UInt64(count), at: Register.count)
            registers.write64(command, at: Register.command)
            let deadline = ContinuousClock.now + Self.timeout
            while registers.read64(at: Register.command) & Command.start != 0 {
                if ContinuousClock.now > deadline { return false }
            }
            return true
        }
        guard isDone else { throw DemoFailure(description: "the edu device did not finish its DMA in \(Self.timeout)") }
    }
}
