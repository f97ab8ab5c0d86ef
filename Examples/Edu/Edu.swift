public import VFIO

/// A driver for QEMU's educational device, 1234:11e8: a factorial unit, and a DMA engine with a buffer of 4 KiB.
///
/// ```swift
/// let edu = try Edu(at: "0000:00:02.0", in: space)
/// let result = try edu.factorial(of: 10)
/// try edu.load(64, from: buffer.iova, completion: .interrupt)
/// ```
/// The registers are documented in QEMU's `docs/specs/edu`. The driver owns the device, its registers and its
/// interrupt, which are closed when it is closed or destroyed.
public struct Edu: ~Copyable, Sendable {
    private enum Register {
        static let identification = 0x00
        static let factorial = 0x08
        static let status = 0x20
        static let interruptStatus = 0x24
        static let interruptAcknowledge = 0x64
        static let source = 0x80
        static let destination = 0x88
        static let count = 0x90
        static let command = 0x98
    }

    private enum Command {
        static let start: UInt64 = 1 << 0
        static let toMemory: UInt64 = 1 << 1
        static let interrupt: UInt64 = 1 << 2
    }

    /// How the driver detects the end of a transfer.
    public enum Completion: Sendable {
        /// By polling a register.
        case polling
        /// By its interrupt.
        case interrupt
    }

    /// The size of the device's buffer in bytes.
    public static let bufferByteCount = 4096
    /// The address of the buffer in the device's own address space.
    private static let bufferAddress: UInt64 = 0x40000
    private static let isComputing: UInt32 = 1 << 0

    private let interrupt: InterruptVector
    private let bank: RegisterBank
    private let device: Device
    private let timeout: Duration

    // MARK: Life

    /// Opens the device, enables DMA, and enables its interrupt.
    ///
    /// - Parameters:
    ///   - address: The device's address.
    ///   - space: The address space of its DMA.
    ///   - timeout: The time limit of each operation.
    /// - Throws: `.notAnEdu`, `.vfio`.
    public init(
        at address: PCIAddress, in space: AddressSpace, timeout: Duration = .seconds(10)
    ) throws(EduError) {
        let device = try EduError.wrapping { () throws(VFIOError) in try Device(at: address, in: space) }
        let (vendor, number) = try EduError.wrapping { () throws(VFIOError) in
            (try device.config.vendorID(), try device.config.deviceID())
        }
        guard vendor == 0x1234, number == 0x11e8 else { throw .notAnEdu(vendor: vendor, device: number) }
        try EduError.wrapping { () throws(VFIOError) in
            try device.config.updateCommand { $0.formUnion([.memoryDecode, .busMaster]) }
        }
        let bank = try EduError.wrapping { () throws(VFIOError) in try device.makeRegisterBank(of: .bar0) }
        let interrupt = try EduError.wrapping { () throws(VFIOError) in try device.interrupts(.msi).enable(vector: 0) }
        self.interrupt = interrupt
        self.bank = bank
        self.device = device
        // Bounded, so that no sum of durations overflows.
        self.timeout = min(max(timeout, .zero), .seconds(1 << 32))
    }

    /// Closes the device and reports errors of the kernel.
    public consuming func close() throws(EduError) {
        do throws(VFIOError) {
            try interrupt.close()
            try bank.close()
            try device.close()
        } catch {
            throw .vfio(error)
        }
    }

    // MARK: Registers

    /// Returns the version, major and minor.
    public func version() throws(EduError) -> (major: UInt8, minor: UInt8) {
        let identification = bank.read32(at: Register.identification)
        try check()
        return (UInt8(identification >> 24), UInt8(truncatingIfNeeded: identification >> 16))
    }

    /// Computes a factorial, modulo 2³², on the device.
    public func factorial(of number: UInt32) throws(EduError) -> UInt32 {
        bank.write32(number, at: Register.factorial)
        try poll("compute \(number)!") { bank.read32(at: Register.status) & Self.isComputing == 0 }
        let result = bank.read32(at: Register.factorial)
        try check()
        return result
    }

    // MARK: DMA

    /// Copies bytes into the device's buffer.
    ///
    /// - Throws: `.byteCount`, `.timedOut`, `.vfio`. An address that the IOMMU refuses is not an error: the device
    ///   reads zeros.
    public func load(_ byteCount: Int, from iova: IOVA, completion: Completion = .polling) throws(EduError) {
        try transfer(byteCount, from: iova.rawValue, to: Self.bufferAddress, Command.start, completion)
    }

    /// Copies bytes out of the device's buffer.
    ///
    /// - Throws: As ``load(_:from:completion:)``. Writes to an address that the IOMMU refuses are lost.
    public func store(_ byteCount: Int, to iova: IOVA, completion: Completion = .polling) throws(EduError) {
        try transfer(
            byteCount, from: Self.bufferAddress, to: iova.rawValue, Command.start | Command.toMemory, completion)
    }

    /// Copies bytes from one address to another, through the device's buffer.
    public func copy(_ byteCount: Int, from source: IOVA, to destination: IOVA) throws(EduError) {
        try load(byteCount, from: source)
        try store(byteCount, to: destination)
    }

    private func transfer(
        _ byteCount: Int, from source: UInt64, to destination: UInt64, _ command: UInt64, _ completion: Completion
    ) throws(EduError) {
        // The device does not check the size: QEMU aborts when the transfer exceeds the buffer.
        guard (1...Self.bufferByteCount).contains(byteCount) else { throw .byteCount(byteCount) }
        bank.write64(source, at: Register.source)
        bank.write64(destination, at: Register.destination)
        bank.write64(UInt64(byteCount), at: Register.count)
        switch completion {
        case .polling:
            // Release: after the writes of the data that the device reads.
            bank.writeReleasing64(command, at: Register.command)
            try poll("move \(byteCount) bytes") {
                // Acquire: before the reads of the data that the device has written.
                bank.readAcquiring64(at: Register.command) & Command.start == 0
            }
        case .interrupt:
            // Discard a late interrupt of an earlier transfer.
            try EduError.wrapping { () throws(VFIOError) in _ = try interrupt.poll() }
            bank.writeReleasing64(command | Command.interrupt, at: Register.command)
            try waitForInterrupt("move \(byteCount) bytes")
            // The interrupt may still be a late one of an earlier transfer.
            try poll("move \(byteCount) bytes") {
                bank.readAcquiring64(at: Register.command) & Command.start == 0
            }
        }
    }

    // MARK: Waiting

    private func poll(_ operation: String, until isDone: () -> Bool) throws(EduError) {
        let deadline = ContinuousClock.now + timeout
        while !isDone() {
            // A failed read returns all ones, as if the device were always busy.
            try check()
            guard ContinuousClock.now < deadline else { throw .timedOut(operation) }
        }
        try check()
    }

    private func waitForInterrupt(_ operation: String) throws(EduError) {
        let count = try EduError.wrapping { () throws(VFIOError) in
            try bank.check()
            return try interrupt.wait(timeout: timeout)
        }
        guard count != nil else { throw .timedOut(operation) }
        bank.write32(bank.read32(at: Register.interruptStatus), at: Register.interruptAcknowledge)
        DeviceBarrier.read()
        try check()
    }

    /// Throws the first error of a register access.
    private func check() throws(EduError) {
        try EduError.wrapping { () throws(VFIOError) in try bank.check() }
    }
}
