public import VFIO

/// A submission queue and its completion queue.
///
/// ```swift
/// let buffer = try space.allocate(byteCount: 1 << 20)           // before the queue, so that it is freed after it
/// var queue = try controller.makeQueue(depth: 32)
/// while let command = queue.submitRead(of: disk, at: block, count: 8, into: buffer, offset: place, ringing: false) { … }
/// queue.ring()
/// while let completion = queue.nextCompletion() { … }          // or waitForCompletion()
/// ```
///
/// A queue has one owner and needs no lock; each thread uses its own queue. Submitting commands and taking completions
/// does not allocate, count references, or read a clock.
///
/// Each submitted command completes exactly once: with the controller's status, or with ``CommandStatus/aborted`` when
/// it was ended by a reset of the controller (see ``recover()``). The memory of its data must stay mapped until then.
/// Otherwise the controller's DMA faults, or, if another buffer has been mapped at the same IOVA meanwhile, silently
/// reads or overwrites that buffer.
public struct QueuePair: ~Copyable, Sendable {
    // The first stored property, so that the queue is deleted at the controller before its memory is freed.
    var registration: QueueRegistration
    @usableFromInline let registers: RegisterBank
    /// The rings.
    public let memory: QueueMemory
    @usableFromInline var slots: SlotTable

    /// The offset of the doorbells.
    @usableFromInline let submissionDoorbell: Int
    @usableFromInline let completionDoorbell: Int
    /// The index of the next submission entry.
    @usableFromInline var tail = 0
    /// The tail last written to the doorbell.
    @usableFromInline var rungTail = 0
    /// The index of the next completion entry.
    @usableFromInline var head = 0
    /// The phase bit of a new entry, at its position in dword 3.
    @usableFromInline var phase: UInt32 = 1 << 16
    /// The number of completions taken since the doorbell was last written.
    @usableFromInline var unacknowledged = 0
    /// The number of completions that may be taken before the doorbell must be written.
    @usableFromInline let acknowledgementLimit: Int

    let interrupt: QueueInterrupt?
    var watch: CommandWatch
    /// The number of completions for commands that were not in flight.
    @usableFromInline var strayCount = 0

    /// Creates a queue from its parts, for a controller that has been set up by other means, such as a simulated one in
    /// a benchmark or test.
    ///
    /// - Parameters:
    ///   - id: The queue's number, which determines its doorbells.
    ///   - registers: BAR 0 of the controller, or its replacement.
    ///   - doorbellStride: The distance between doorbells in bytes.
    ///   - memory: The rings and lists. The rings must be zeroed.
    ///   - commandTimeout: The time limit of a command.
    public init(
        id: UInt16, registers: consuming RegisterBank, doorbellStride: Int = 4, memory: consuming QueueMemory,
        commandTimeout: Duration = .seconds(5)
    ) {
        self.init(
            QueueRegistration(id: id, core: nil, epoch: 0, memory.buffers), registers: registers,
            doorbellStride: doorbellStride,
            memory: memory, interrupt: nil, commandTimeout: commandTimeout)
    }

    init(
        _ registration: consuming QueueRegistration, registers: consuming RegisterBank, doorbellStride: Int,
        memory: consuming QueueMemory, interrupt: QueueInterrupt?, commandTimeout: Duration
    ) {
        submissionDoorbell = ControllerRegister.doorbells + 2 * Int(registration.id) * doorbellStride
        completionDoorbell = ControllerRegister.doorbells + (2 * Int(registration.id) + 1) * doorbellStride
        let depth = memory.submissionEntryCount - 1
        slots = SlotTable(depth: depth)
        // The ring has space for the completions of all commands in flight, and for these.
        acknowledgementLimit = max(1, min(memory.completionEntryCount - 1 - depth, memory.completionEntryCount / 2))
        self.registration = registration
        self.registers = registers
        self.memory = memory
        self.interrupt = interrupt
        watch = CommandWatch(limit: commandTimeout)
    }

    /// The queue's number.
    public var id: UInt16 { registration.id }
    /// The maximum number of commands in flight.
    @inlinable public var depth: Int { slots.depth }
    /// The number of submitted commands whose completions have not been taken.
    @inlinable public var inFlightCount: Int { slots.usedCount }
    /// The maximum number of bytes of one command.
    public var maximumTransferByteCount: Int { memory.maximumTransferByteCount }
    /// Whether ``waitForCompletion()`` sleeps until an interrupt. It polls if the vector was lost, because another one was
    /// enabled (see ``VFIO/InterruptVector``), and the kernel refuses to enable it again.
    public var hasInterrupt: Bool { interrupt?.isOn ?? false }
    /// The time limit of a command, after which ``waitForCompletion()`` and ``check()`` throw `.timeout`.
    public var commandTimeout: Duration {
        get { watch.limit }
        set { watch.limit = newValue }
    }

    /// Ends without freeing the memory.
    consuming func abandon() { memory.buffers.abandon() }

    /// Deletes the queue at the controller, frees its memory, and reports errors.
    ///
    /// Commands in flight end without a completion, and completions that were not taken are lost.
    ///
    /// - Throws: `.notStopped` when the controller may still access the queue's memory, which is then never freed.
    public consuming func close() throws(NVMeError) {
        try registration.close()
        do throws(VFIOError) {
            try registers.close()
            try memory.close()
        } catch {
            throw .vfio(error)
        }
    }
}
