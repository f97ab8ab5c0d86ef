public import VFIO

/// A submission queue and its completion queue: the way of commands to the controller and back.
///
/// ```swift
/// let buffer = try space.allocate(byteCount: 1 << 20)           // before the queue, so that it is freed after it
/// var queue = try controller.makeQueue(depth: 32)
/// while let command = queue.submitRead(of: disk, at: block, count: 8, into: buffer, offset: place, ringing: false) { … }
/// queue.ring()
/// while let completion = queue.nextCompletion() { … }          // or waitForCompletion()
/// ```
///
/// It has one owner and needs no lock; several threads have a queue each. Submitting and taking completions allocates
/// nothing, counts no references, and looks at no clock.
///
/// Each command that was submitted completes exactly once: with the controller's word, or with ``CommandStatus/aborted``
/// after a reset of the controller has ended it (see ``recover()``). Memory that a command moves data from or to has to
/// stay mapped until then. Of memory that does not, nothing is known: where nothing is mapped the controller's DMA faults,
/// but the next buffer may be mapped at the same IOVA, and then the command reads or overwrites that one without a word.
public struct QueuePair: ~Copyable, Sendable {
    // First of all fields, so that the controller forgets the queue before its memory is freed.
    var registration: QueueRegistration
    @usableFromInline let registers: RegisterBank
    /// The rings.
    public let memory: QueueMemory
    @usableFromInline var slots: SlotTable

    /// Where the doorbells are.
    @usableFromInline let submissionDoorbell: Int
    @usableFromInline let completionDoorbell: Int
    /// The next entry of the submission ring to be written.
    @usableFromInline var tail = 0
    /// The tail that the controller was last told of.
    @usableFromInline var rungTail = 0
    /// The next entry of the completion ring to be looked at.
    @usableFromInline var head = 0
    /// The phase bit of an entry that is new, in its place in dword 3.
    @usableFromInline var phase: UInt32 = 1 << 16
    /// How many completions were taken since the controller was last told.
    @usableFromInline var unacknowledged = 0
    /// How many completions may be taken before the controller has to be told.
    @usableFromInline let acknowledgementLimit: Int

    let vector: InterruptVector?
    var watch: CommandWatch
    /// How many completions came for commands that were not in flight.
    @usableFromInline var strayCount = 0

    /// Puts a queue together from its parts, for a controller that has been told of it by other means: an in-memory one
    /// in a benchmark, or one in a test.
    ///
    /// - Parameters:
    ///   - id: The queue's number, which its doorbells go by.
    ///   - registers: BAR 0 of the controller, or what serves as such.
    ///   - doorbellStride: The distance of two doorbells in bytes.
    ///   - memory: The rings and lists. The rings are zeros.
    ///   - commandTimeout: How long a command may take.
    public init(
        id: UInt16, registers: consuming RegisterBank, doorbellStride: Int = 4, memory: consuming QueueMemory,
        commandTimeout: Duration = .seconds(5)
    ) {
        self.init(
            QueueRegistration(id: id, core: nil, epoch: 0), registers: registers, doorbellStride: doorbellStride,
            memory: memory, vector: nil, commandTimeout: commandTimeout)
    }

    init(
        _ registration: consuming QueueRegistration, registers: consuming RegisterBank, doorbellStride: Int,
        memory: consuming QueueMemory, vector: consuming InterruptVector?, commandTimeout: Duration
    ) {
        submissionDoorbell = ControllerRegister.doorbells + 2 * Int(registration.id) * doorbellStride
        completionDoorbell = ControllerRegister.doorbells + (2 * Int(registration.id) + 1) * doorbellStride
        let depth = memory.submissionEntryCount - 1
        slots = SlotTable(depth: depth)
        // The ring has room for the completions of all commands in flight, and for these.
        acknowledgementLimit = max(1, min(memory.completionEntryCount - 1 - depth, memory.completionEntryCount / 2))
        self.registration = registration
        self.registers = registers
        self.memory = memory
        self.vector = vector
        watch = CommandWatch(limit: commandTimeout)
    }

    /// The queue's number.
    public var id: UInt16 { registration.id }
    /// How many commands can be in flight.
    @inlinable public var depth: Int { slots.depth }
    /// How many commands were submitted and have not been taken back with their completion.
    @inlinable public var inFlightCount: Int { slots.usedCount }
    /// The most bytes that one command can move.
    public var maximumTransferByteCount: Int { memory.maximumTransferByteCount }
    /// Whether ``waitForCompletion()`` sleeps until an interrupt comes.
    public var hasInterrupt: Bool { vector != nil }
    /// How long a command may take, before ``waitForCompletion()`` and ``check()`` throw `.timeout`.
    public var commandTimeout: Duration {
        get { watch.limit }
        set { watch.limit = newValue }
    }

    /// Has the controller forget the queue, frees its memory, and reports what went wrong.
    ///
    /// Commands that are in flight end without a completion, and completions that were not taken are lost.
    public consuming func close() throws(NVMeError) {
        try registration.close()
        do throws(VFIOError) {
            if let vector { try vector.close() }
            try registers.close()
            try memory.close()
        } catch {
            throw .vfio(error)
        }
    }
}
