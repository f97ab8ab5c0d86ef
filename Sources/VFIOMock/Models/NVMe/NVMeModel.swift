import VFIO

/// An NVM Express controller, revision 1.4, with one namespace: QEMU's `nvme`, 1b36:0010, at register level.
///
/// Commands complete before the store to the doorbell returns, so polling drivers and interrupt-driven ones work.
/// ```swift
/// let machine = MockMachine()
/// machine.plug(NVMeModel(), at: "0000:00:04.0")
/// …
/// machine.withDevice(NVMeModel.self, at: "0000:00:04.0") { disk, _ in disk.inject(.loseCommand, skipping: 3) }
/// ```
/// Its features:
/// - BAR 0: the registers, doorbells from 0x1000, and the MSI-X table and pending bits at 0x2000 and 0x3000.
/// - BAR 2: the controller memory buffer, for queues, PRP lists and data. See ``MemoryBufferKind`` for its address.
/// - Admin commands: Identify, Create and Delete I/O Queue, Get and Set Features, Get Log Page, Abort, and Asynchronous
///   Event Request. NVM commands: Read, Write, Flush, Write Zeroes. Data pointers are PRPs.
/// - MSI-X with a vector per queue, or the pin with `INTMS` and `INTMC`.
///
/// A command whose DMA the IOMMU refuses completes with Data Transfer Error (but see ``noticesRefusedDMA``). A
/// submission queue entry that cannot be read is fatal (`CSTS.CFS`). A completion queue entry that cannot be written is
/// lost: a write on PCI Express is posted.
public struct NVMeModel: MockDevice {
    /// How the controller recognizes addresses of its memory buffer.
    public enum MemoryBufferKind: Sendable, Hashable {
        /// Before revision 1.4, and with QEMU's `legacy-cmb=on`: by the BAR's address on the bus. Such addresses bypass
        /// the IOMMU, so a driver must not map them.
        case legacy
        /// From revision 1.4: by the address that the driver writes to `CMBMSC`, and not before that.
        case relocatable
    }

    public let pci: MockPCIFunction
    /// The size of the controller memory buffer in bytes; 0 for none.
    public let memoryByteCount: Int
    public let memoryBufferKind: MemoryBufferKind
    /// The number of I/O queues of each kind.
    public let queueLimit: Int
    /// Whether a command whose data DMA the IOMMU refuses completes with Data Transfer Error. Some controllers, such as
    /// QEMU's, report success.
    public let noticesRefusedDMA: Bool
    /// `CAP.DSTRD`: doorbells are 4 << this many bytes apart.
    public let doorbellStride: Int

    /// The contents of the disk.
    public var disk: Disk
    /// Counts of the driver's actions. A reset does not clear them.
    public internal(set) var statistics = Statistics()

    // MARK: The controller's state

    var registers = Registers()
    /// By queue identifier, 0 for the admin queue.
    var submissionQueues: [SubmissionQueue?]
    var completionQueues: [CompletionQueue?]
    /// The completion queues with entries that were not signalled yet.
    var touchedQueues: [Int] = []
    /// Whether an I/O queue was created since the last reset.
    var hasCreatedQueue = false
    /// The values of features, by identifier.
    var features: [UInt8: UInt32] = [:]
    /// The command identifiers of waiting Asynchronous Event Requests.
    var eventRequests: [UInt16] = []
    /// Events that wait for a request.
    var pendingEvents: [AsynchronousEvent] = []
    /// The event types that are masked until their log page is read.
    var maskedEvents: Set<UInt8> = []
    /// The composite temperature in kelvins: see ``setTemperature(_:bus:)``.
    public internal(set) var temperature: UInt16 = 313
    /// The lower threshold in kelvins; the upper one is in ``features``.
    var lowerTemperatureLimit: UInt32 = 0
    /// The error information log, the latest entry first.
    var errorLog: [ErrorEntry] = []
    var errorCount: UInt64 = 0
    /// The data segments of the current command.
    var segments: [Segment] = []
    var isPinAsserted = false

    // MARK: Faults

    var faults: [PlannedFault] = []
    /// The held commands in the order of their submission.
    public internal(set) var heldCommands: [HeldCommand] = []
    /// The number of faults so far.
    public internal(set) var faultCount = 0
    /// The number of faults of each kind so far.
    public internal(set) var faultCounts: [NVMeFault: Int] = [:]
    /// Whether the data of the current command is inverted.
    var isCorrupting = false
    /// Whether it was removed: see ``remove(bus:)``.
    public internal(set) var isRemoved = false

    /// - Parameters:
    ///   - blockCount: The size of the disk in blocks. Blocks that were never written use no memory.
    ///   - blockByteCount: 512 or 4096.
    ///   - memoryByteCount: The size of the controller memory buffer: 0 for none, or a power of two from 4096.
    ///   - memoryBufferKind: How the controller recognizes addresses of that memory.
    ///   - queueLimit: The number of I/O queues of each kind, 1 to 64.
    ///   - doorbellStride: `CAP.DSTRD`, 0 to 2.
    ///   - noticesRefusedDMA: Whether refused data DMA is an error of the command.
    public init(
        blockCount: UInt64 = 131_072, blockByteCount: Int = 512, memoryByteCount: Int = 4 << 20,
        memoryBufferKind: MemoryBufferKind = .legacy, queueLimit: Int = 64, doorbellStride: Int = 0,
        noticesRefusedDMA: Bool = true
    ) {
        precondition((1...64).contains(queueLimit), "it has 1 to 64 I/O queues of each kind")
        precondition((0...2).contains(doorbellStride), "the doorbells have to fit below the MSI-X table")
        precondition(memoryByteCount == 0 || memoryByteCount >= 4096, "the memory buffer is counted in pages")
        disk = Disk(blockCount: blockCount, blockByteCount: blockByteCount)
        self.memoryByteCount = memoryByteCount
        self.memoryBufferKind = memoryBufferKind
        self.queueLimit = queueLimit
        self.doorbellStride = doorbellStride
        self.noticesRefusedDMA = noticesRefusedDMA
        submissionQueues = [SubmissionQueue?](repeating: nil, count: queueLimit + 1)
        completionQueues = [CompletionQueue?](repeating: nil, count: queueLimit + 1)
        pci = Self.function(.registers, memoryByteCount: memoryByteCount)
        setDefaultFeatures()
    }

    static let vectorCount = 65

    /// The description of QEMU's `nvme`, with the given type of registers and size of the memory buffer.
    static func function(_ registers: MockPCIFunction.BAR.Kind, memoryByteCount: Int) -> MockPCIFunction {
        var bars: [Int: MockPCIFunction.BAR] = [0: .init(registers, 16384, is64Bit: true)]
        if memoryByteCount > 0 { bars[2] = .memory(memoryByteCount) }
        return MockPCIFunction(
            vendor: 0x1b36, device: 0x0010, classCode: 0x010802, revision: 2, bars: bars, hasINTx: true,
            msix: .init(vectors: vectorCount, bar: 0, tableOffset: 0x2000, pendingOffset: 0x3000),
            isExpress: true, hasFunctionLevelReset: true, hasPowerManagement: true)
    }

    // MARK: The bus

    public mutating func reset(bus: borrowing MockBus) {
        if isRemoved { return }
        resetController(bus)
        registers = Registers()
        setDefaultFeatures()
    }

    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        if isRemoved { return .max }
        let offset = Int(offset)
        if width == 8 { return UInt64(load(offset)) | UInt64(load(offset + 4)) << 32 }
        return UInt64(load(offset & ~3)) >> UInt64((offset & 3) * 8) & (1 << UInt64(width * 8) - 1)
    }

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        // Registers have 4 or 8 bytes; the specification leaves narrower stores undefined.
        if isRemoved || width < 4 { return }
        store(UInt32(truncatingIfNeeded: value), at: Int(offset), bus)
        if width == 8 { store(UInt32(truncatingIfNeeded: value >> 32), at: Int(offset) + 4, bus) }
    }
}
