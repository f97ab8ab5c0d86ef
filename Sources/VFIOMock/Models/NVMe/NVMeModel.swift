import VFIO

/// An NVM Express controller, revision 1.4, with one disk: QEMU's `nvme`, 1b36:0010, down to its registers.
///
/// A driver brings it up, creates queues, reads and writes as with the real thing. All is done by the time that the
/// store to a doorbell returns, so drivers that poll and drivers that wait for the interrupt both work.
/// ```swift
/// let machine = MockMachine()
/// machine.plug(NVMeModel(), at: "0000:00:04.0")
/// …
/// machine.withDevice(NVMeModel.self, at: "0000:00:04.0") { disk, _ in disk.inject(.loseCommand, skipping: 3) }
/// ```
/// What it has:
/// - BAR 0: the registers, doorbells from 0x1000, and the MSI-X table and pending bits at 0x2000 and 0x3000.
/// - BAR 2: the controller memory buffer, for queues, PRP lists and data. See ``MemoryBufferKind`` for its address.
/// - Admin commands: Identify, Create and Delete I/O Queue, Get and Set Features, Get Log Page, Abort, and Asynchronous
///   Event Request. NVM commands: Read, Write, Flush, Write Zeroes. Data pointers are PRPs.
/// - MSI-X with a vector a queue, or the pin with `INTMS` and `INTMC`.
///
/// A DMA that the IOMMU refuses ends a command with Data Transfer Error (but see ``noticesRefusedDMA``). An entry of a submission queue that cannot be
/// read is fatal (`CSTS.CFS`), and an entry of a completion queue that cannot be written is lost: a write on PCI
/// Express has no answer.
public struct NVMeModel: MockDevice {
    /// How the controller knows that an address is one of its own memory buffer.
    public enum MemoryBufferKind: Sendable, Hashable {
        /// As before revision 1.4, and with QEMU's `legacy-cmb=on`: by the address that the BAR has on the bus. No
        /// IOMMU is asked for such an address, so a driver has to keep it free of mappings.
        case legacy
        /// As from revision 1.4 on: by the address that the driver writes to `CMBMSC`, and not at all before that.
        case relocatable
    }

    public let pci: MockPCIFunction
    /// The size of the controller memory buffer in bytes; 0 for none.
    public let memoryByteCount: Int
    public let memoryBufferKind: MemoryBufferKind
    /// How many I/O queues of each kind it has.
    public let queueLimit: Int
    /// Whether a DMA for data that the IOMMU refuses ends the command with Data Transfer Error. Not all controllers
    /// notice: QEMU's tells of success.
    public let noticesRefusedDMA: Bool
    /// `CAP.DSTRD`: doorbells are 4 << this many bytes apart.
    public let doorbellStride: Int

    /// What is on the disk.
    public var disk: Disk
    /// What the driver has done up to now. A reset does not clear it.
    public internal(set) var statistics = Statistics()

    // MARK: The controller's state

    var registers = Registers()
    /// By queue identifier, the admin queue's being 0.
    var submissionQueues: [SubmissionQueue?]
    var completionQueues: [CompletionQueue?]
    /// Completion queues that got entries since interrupts were last sent.
    var touchedQueues: [Int] = []
    /// An I/O queue was created since the last reset.
    var hasCreatedQueue = false
    /// The values of features, by identifier.
    var features: [UInt8: UInt32] = [:]
    /// Asynchronous Event Requests that wait for an event: their command identifiers.
    var eventRequests: [UInt16] = []
    /// Events that wait for a request.
    var pendingEvents: [AsynchronousEvent] = []
    /// Kinds of events that are not told again before their log page has been read.
    var maskedEvents: Set<UInt8> = []
    /// The error information log, the latest entry first.
    var errorLog: [ErrorEntry] = []
    var errorCount: UInt64 = 0
    /// Where the data of the command at hand goes.
    var segments: [Segment] = []
    var isPinAsserted = false

    // MARK: Faults

    var faults: [PlannedFault] = []
    /// Commands whose completion waits for the test, in the order of their submission.
    public internal(set) var heldCommands: [HeldCommand] = []
    /// How many faults have happened.
    public internal(set) var faultCount = 0
    /// How many faults of each kind have happened.
    public internal(set) var faultCounts: [NVMeFault: Int] = [:]
    /// The data of the command at hand is to be inverted on its way.
    var isCorrupting = false
    /// It has been pulled out: see ``remove(bus:)``.
    public internal(set) var isRemoved = false

    /// - Parameters:
    ///   - blockCount: The size of the disk in blocks. Blocks that were never written take no memory.
    ///   - blockByteCount: 512 or 4096.
    ///   - memoryByteCount: The size of the controller memory buffer: 0 for none, or a power of two from 4096.
    ///   - memoryBufferKind: How the controller knows an address of that memory.
    ///   - queueLimit: How many I/O queues of each kind it has, 1 to 64.
    ///   - doorbellStride: `CAP.DSTRD`, 0 to 2.
    ///   - noticesRefusedDMA: Whether refused DMA for data is an error of the command.
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

    /// What QEMU's `nvme` is on the bus, with registers of a kind and a memory buffer of a size.
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
        // Registers are of 4 or 8 bytes; the specification leaves open what narrower stores do.
        if isRemoved || width < 4 { return }
        store(UInt32(truncatingIfNeeded: value), at: Int(offset), bus)
        if width == 8 { store(UInt32(truncatingIfNeeded: value >> 32), at: Int(offset) + 4, bus) }
    }
}
