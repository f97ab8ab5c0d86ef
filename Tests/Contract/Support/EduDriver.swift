/// A driver for QEMU's educational device, as its `docs/specs/edu` describes it.
struct EduDriver: ~Copyable, Closable {
    let device: Device

    private enum Register {
        static let identification = 0x00
        static let liveness = 0x04
        static let factorial = 0x08
        static let status = 0x20
        static let interruptStatus = 0x24
        static let raise = 0x60
        static let acknowledge = 0x64
        static let source = 0x80
        static let destination = 0x88
        static let count = 0x90
        static let command = 0x98
    }

    private enum Command {
        static let start: UInt64 = 1
        static let toMemory: UInt64 = 2
        static let interrupt: UInt64 = 4
    }

    private static let computing: UInt32 = 1
    /// Where the device's own buffer of 4 KiB sits among its addresses.
    private static let buffer: UInt64 = 0x40000

    struct TimedOut: Error { let operation: String }

    /// Opens the device, with DMA allowed.
    init(at address: PCIAddress, in space: AddressSpace) throws { self = try EduDriver(Device(at: address, in: space)) }

    /// Opens a device without an IOMMU, with DMA allowed.
    init(at address: PCIAddress, in space: NoIOMMUAddressSpace) throws {
        self = try EduDriver(Device(at: address, in: space))
    }

    private init(_ device: consuming Device) throws {
        try device.updateCommand { $0.insert([.memoryDecode, .busMaster]) }
        self.device = device
    }

    consuming func close() throws { try device.close() }

    func identification() throws -> UInt32 {
        try device.withRegisters(.bar0) { $0.read32(at: Register.identification) }
    }

    /// What the device makes of a number: its complement.
    func liveness(_ value: UInt32) throws -> UInt32 {
        try device.withRegisters(.bar0) { registers in
            registers.write32(value, at: Register.liveness)
            return registers.read32(at: Register.liveness)
        }
    }

    func factorial(of number: UInt32) throws -> UInt32 {
        try device.withRegisters(.bar0) { registers in
            registers.write32(number, at: Register.factorial)
            try Self.wait("the factorial") { registers.read32(at: Register.status) & Self.computing == 0 }
            return registers.read32(at: Register.factorial)
        }
    }

    // MARK: Interrupts

    func raise(_ bits: UInt32) throws { try device.withRegisters(.bar0) { $0.write32(bits, at: Register.raise) } }

    func interruptStatus() throws -> UInt32 {
        try device.withRegisters(.bar0) { $0.read32(at: Register.interruptStatus) }
    }

    func acknowledge(_ bits: UInt32) throws {
        try device.withRegisters(.bar0) { $0.write32(bits, at: Register.acknowledge) }
    }

    /// Raises an interrupt, and expects it to come, once.
    func expectInterrupt(
        _ bits: UInt32, _ vector: borrowing InterruptVector, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try raise(bits)
        let count = try vector.wait(timeout: .seconds(10))
        #expect(count == 1, sourceLocation: sourceLocation)
        try acknowledge(bits)
    }

    // MARK: DMA

    /// Copies from the bus into the device's buffer.
    func load(_ count: Int, from iova: IOVA, interrupting: Bool = false) throws {
        try transfer(
            from: iova.rawValue, to: Self.buffer, count, Command.start | (interrupting ? Command.interrupt : 0))
    }

    /// Copies from the device's buffer to the bus.
    func store(_ count: Int, to iova: IOVA, interrupting: Bool = false) throws {
        try transfer(
            from: Self.buffer, to: iova.rawValue, count,
            Command.start | Command.toMemory | (interrupting ? Command.interrupt : 0))
    }

    private func transfer(from source: UInt64, to destination: UInt64, _ count: Int, _ command: UInt64) throws {
        try device.withRegisters(.bar0) { registers in
            registers.write64(source, at: Register.source)
            registers.write64(destination, at: Register.destination)
            registers.write64(UInt64(count), at: Register.count)
            registers.write64(command, at: Register.command)
            try Self.wait("the transfer") { registers.read64(at: Register.command) & Command.start == 0 }
        }
    }

    private static func wait(_ operation: String, until isDone: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while !isDone() {
            guard ContinuousClock.now < deadline else { throw TimedOut(operation: operation) }
            pause()
        }
    }

    /// The bytes that the device finds at an address.
    ///
    /// - Parameter landing: A buffer in the device's address space, for the way back to the CPU.
    func bytes(_ count: Int, at iova: IOVA, by landing: borrowing DMABuffer) throws -> [UInt8] {
        try load(count, from: iova)
        try store(count, to: landing.iova)
        return landing.bytes(count: count)
    }

    /// Expects the device to find bytes at an address.
    func expect(
        _ bytes: [UInt8], at iova: IOVA, by landing: borrowing DMABuffer,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let found = try self.bytes(bytes.count, at: iova, by: landing)
        #expect(found == bytes, sourceLocation: sourceLocation)
    }

    /// Lets the device write bytes to an address.
    func write(_ bytes: [UInt8], at iova: IOVA, by landing: borrowing DMABuffer) throws {
        landing.fill(bytes)
        try load(bytes.count, from: landing.iova)
        try store(bytes.count, to: iova)
    }
}

extension Scenario {
    /// Runs a test with an address space and the edu device in it.
    func runWithEdu(
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, borrowing EduDriver) throws -> Void
    ) throws {
        let bench = try makeBench(sourceLocation: sourceLocation)
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        try body(bench, space, edu)
        try edu.close()
    }
}
