import VFIO

extension NVMeModel {
    enum Offset {
        static let capabilities = 0x00
        static let version = 0x08
        static let interruptMaskSet = 0x0c
        static let interruptMaskClear = 0x10
        static let configuration = 0x14
        static let status = 0x1c
        static let adminQueueAttributes = 0x24
        static let adminSubmissionQueue = 0x28
        static let adminCompletionQueue = 0x30
        static let memoryBufferLocation = 0x38
        static let memoryBufferSize = 0x3c
        static let memorySpaceControl = 0x50
        static let memorySpaceStatus = 0x58
        static let doorbells = 0x1000
    }

    /// The variable registers of section 3.1 of the specification.
    struct Registers {
        /// The masked vectors of the pin.
        var interruptMask: UInt32 = 0
        var configuration: UInt32 = 0
        var status: UInt32 = 0
        var adminQueueAttributes: UInt32 = 0
        var adminSubmissionQueue: UInt64 = 0
        var adminCompletionQueue: UInt64 = 0
        var memorySpaceControl: UInt64 = 0

        var isEnabled: Bool { configuration & 1 != 0 }
        var pageSize: Int { 4096 << Int(configuration >> 7 & 0xf) }
        var submissionEntrySize: UInt32 { configuration >> 16 & 0xf }
        var completionEntrySize: UInt32 { configuration >> 20 & 0xf }
        /// `CC.CSS` is 7: no I/O commands.
        var hasAdminCommandsOnly: Bool { configuration >> 4 & 7 == 7 }
        var shutdownNotification: UInt32 { configuration >> 14 & 3 }

        var isReady: Bool {
            get { status & 1 != 0 }
            set { status = status & ~1 | (newValue ? 1 : 0) }
        }
        var isFatal: Bool {
            get { status & 2 != 0 }
            set { status = status & ~2 | (newValue ? 2 : 0) }
        }
        /// `CSTS.SHST`: 0 for none, 1 for in progress, 2 for complete.
        var shutdownStatus: UInt32 {
            get { status >> 2 & 3 }
            set { status = status & ~0xc | newValue << 2 }
        }
    }

    /// The maximum number of entries of a queue.
    static let queueEntryLimit = 2048
    /// `CAP.MPSMAX`, as a shift of 4096.
    static let pageShiftLimit = 4

    /// `CAP`: contiguous queues of up to 2048 entries, a timeout of 7.5 s, pages of 4 to 64 KiB; the NVM command set,
    /// all command sets, or admin commands only.
    var capabilities: UInt64 {
        UInt64(Self.queueEntryLimit - 1) | 1 << 16 | 15 << 24 | UInt64(doorbellStride) << 32
            | 1 << 37 | 1 << 43 | 1 << 44 | UInt64(Self.pageShiftLimit) << 52 | (memoryByteCount > 0 ? 1 << 57 : 0)
    }

    static let version: UInt32 = 0x0001_0400

    // MARK: Loads

    func load(_ offset: Int) -> UInt32 {
        func half(_ value: UInt64, _ start: Int) -> UInt32 {
            UInt32(truncatingIfNeeded: offset == start ? value : value >> 32)
        }
        switch offset {
        case Offset.capabilities, Offset.capabilities + 4: return half(capabilities, Offset.capabilities)
        case Offset.version: return Self.version
        case Offset.interruptMaskSet, Offset.interruptMaskClear: return registers.interruptMask
        case Offset.configuration: return registers.configuration
        case Offset.status: return registers.status
        case Offset.adminQueueAttributes: return registers.adminQueueAttributes
        case Offset.adminSubmissionQueue, Offset.adminSubmissionQueue + 4:
            return half(registers.adminSubmissionQueue, Offset.adminSubmissionQueue)
        case Offset.adminCompletionQueue, Offset.adminCompletionQueue + 4:
            return half(registers.adminCompletionQueue, Offset.adminCompletionQueue)
        case Offset.memoryBufferLocation: return showsMemoryBuffer ? 0x62 : 0
        case Offset.memoryBufferSize: return showsMemoryBuffer ? memoryBufferSize : 0
        case Offset.memorySpaceControl, Offset.memorySpaceControl + 4:
            return half(registers.memorySpaceControl, Offset.memorySpaceControl)
        // Doorbells are write-only.
        default: return 0
        }
    }

    /// `CMBSZ`: queues, PRP lists, and data in both directions; in units of 4 KiB or 1 MiB.
    private var memoryBufferSize: UInt32 {
        memoryByteCount < 1 << 20
            ? UInt32(memoryByteCount / 4096) << 12 | 0x1f : UInt32(memoryByteCount >> 20) << 12 | 0x21f
    }

    /// Whether `CMBLOC` and `CMBSZ` report the memory buffer: always, or once `CMBMSC.CRE` is set.
    private var showsMemoryBuffer: Bool {
        memoryByteCount > 0 && (memoryBufferKind == .legacy || registers.memorySpaceControl & 1 != 0)
    }

    /// The address of the memory buffer for the controller; `nil` while it has none.
    func memoryBufferAddress(_ bus: borrowing MockBus) -> UInt64? {
        if memoryByteCount == 0 { return nil }
        if memoryBufferKind == .legacy { return bus.barAddress(2) }
        return registers.memorySpaceControl & 3 == 3 ? registers.memorySpaceControl & ~0xfff : nil
    }

    // MARK: Stores

    mutating func store(_ value: UInt32, at offset: Int, _ bus: borrowing MockBus) {
        func setHalf(_ register: inout UInt64, _ start: Int, mask: UInt64) {
            let isLow = offset == start
            let shift: UInt64 = isLow ? 0 : 32
            register = (register & ~(0xffff_ffff << shift) | UInt64(value) << shift) & mask
        }
        switch offset {
        case Offset.interruptMaskSet:
            registers.interruptMask |= value
            updatePin(bus)
        case Offset.interruptMaskClear:
            registers.interruptMask &= ~value
            updatePin(bus)
        case Offset.configuration: configure(value & 0x00ff_fff1, bus)
        case Offset.adminQueueAttributes: registers.adminQueueAttributes = value & 0x0fff_0fff
        case Offset.adminSubmissionQueue, Offset.adminSubmissionQueue + 4:
            setHalf(&registers.adminSubmissionQueue, Offset.adminSubmissionQueue, mask: ~0xfff)
        case Offset.adminCompletionQueue, Offset.adminCompletionQueue + 4:
            setHalf(&registers.adminCompletionQueue, Offset.adminCompletionQueue, mask: ~0xfff)
        case Offset.memorySpaceControl, Offset.memorySpaceControl + 4:
            if memoryByteCount > 0 { setHalf(&registers.memorySpaceControl, Offset.memorySpaceControl, mask: ~0xffc) }
        case Offset.doorbells..<Offset.doorbells + (queueLimit + 1) * (8 << doorbellStride):
            ring(offset - Offset.doorbells, value, bus)
        default: break
        }
    }

    /// A store to `CC`.
    private mutating func configure(_ value: UInt32, _ bus: borrowing MockBus) {
        let old = registers
        registers.configuration = value
        if old.isEnabled && !registers.isEnabled {
            statistics.disableCount += 1
            let staysReady = takeFault(.disable) == .staysReady
            resetController(bus)
            registers.isReady = staysReady
            return
        }
        if !old.isEnabled && registers.isEnabled { enable(bus) }
        if old.shutdownNotification == 0 && registers.shutdownNotification != 0 {
            statistics.shutdownCount += 1
            registers.shutdownStatus = takeFault(.shutdown) == .neverShutsDown ? 1 : 2
        }
    }

    private mutating func enable(_ bus: borrowing MockBus) {
        statistics.enableCount += 1
        let value = registers.configuration
        let submissionCount = Int(registers.adminQueueAttributes & 0xfff) + 1
        let completionCount = Int(registers.adminQueueAttributes >> 16) + 1
        let pageMask = UInt64(registers.pageSize - 1)
        let isGood =
            submissionCount >= 2 && completionCount >= 2 && registers.adminSubmissionQueue & pageMask == 0
            && registers.adminCompletionQueue & pageMask == 0 && value >> 7 & 0xf <= Self.pageShiftLimit
            && [0, 6, 7].contains(value >> 4 & 7) && value >> 11 & 7 == 0 && registers.submissionEntrySize == 6
            && registers.completionEntrySize == 4
        guard isGood else {
            registers.isFatal = true
            return
        }
        if takeFault(.enable) == .staysDisabled { return }
        submissionQueues[0] = SubmissionQueue(
            base: registers.adminSubmissionQueue, entryCount: submissionCount, completionQueue: 0)
        completionQueues[0] = CompletionQueue(
            base: registers.adminCompletionQueue, entryCount: completionCount, vector: 0, isInterruptEnabled: true,
            userCount: 1)
        registers.isReady = true
    }

    /// Resets the controller: only the registers of the admin queue and of the memory buffer keep their values.
    mutating func resetController(_ bus: borrowing MockBus) {
        let old = registers
        registers = Registers()
        registers.configuration = old.configuration & ~1
        registers.adminQueueAttributes = old.adminQueueAttributes
        registers.adminSubmissionQueue = old.adminSubmissionQueue
        registers.adminCompletionQueue = old.adminCompletionQueue
        registers.memorySpaceControl = old.memorySpaceControl
        for number in submissionQueues.indices {
            submissionQueues[number] = nil
            completionQueues[number] = nil
        }
        touchedQueues = []
        eventRequests = []
        pendingEvents = []
        maskedEvents = []
        heldCommands = []
        hasCreatedQueue = false
        setDefaultFeatures()
        updatePin(bus)
    }

    /// Whether it executes commands.
    var isServing: Bool {
        registers.isReady && registers.isEnabled && !registers.isFatal && registers.shutdownStatus == 0 && !isRemoved
    }
}
