public import VFIO

/// An NVMe controller.
///
/// ```swift
/// let space = try AddressSpace()
/// let controller = try Controller(Device(at: "0000:00:04.0", in: space))
/// let disk = try controller.namespace()
/// let buffer = try space.allocate(byteCount: 4096)
/// var queue = try controller.makeQueue()
/// try queue.read(disk, at: 0, count: 8, into: buffer)
/// ```
///
/// Create buffers before the queue that uses them. Values are destroyed in reverse order, also when an error is thrown:
/// the queue is then deleted at the controller, which stops accessing the buffers, before they are freed.
///
/// A controller has one owner. It is shut down by ``close()``, or when it and all of its queues have been
/// deinitialized. It works the same on a real kernel and on the mock.
public struct Controller: ~Copyable, Sendable {
    private let core: ControllerCore
    /// The address space that the controller is in.
    public let space: AddressSpace
    /// The controller's capabilities.
    public let capabilities: ControllerCapabilities
    /// The controller's identification data.
    public let info: ControllerInfo
    /// The memory page size that the driver has configured, in bytes.
    public let pageSize: Int
    /// The maximum number of entries of an I/O queue.
    private let queueEntryLimit: Int
    private let options: ControllerOptions

    /// Initialises a controller: resets it, and sets up the admin queue and the number of I/O queues.
    ///
    /// - Parameters:
    ///   - device: The controller's device, which the driver takes ownership of.
    ///   - options: The initialisation options.
    /// - Throws: `.timeout` when the controller does not become ready, `.fatalStatus`, `.gone`, `.unsupported`, and
    ///   `.vfio` with an error of the library.
    public init(_ device: consuming Device, options: ControllerOptions = ControllerOptions()) throws(NVMeError) {
        let space = device.space
        var engine = try ControllerEngine(device, options: options)
        do throws(NVMeError) {
            try engine.stop()
            try engine.start()
        } catch {
            let isQuiet = engine.isQuiet
            try? engine.close()
            throw isQuiet ? error : .notStopped("\(error)")
        }
        let (capabilities, pageSize, queueEntryLimit) = (engine.capabilities, engine.pageSize, engine.queueEntryLimit)
        // From here on the controller is shut down on errors.
        let core = ControllerCore(engine)
        info = try core.withEngine { (engine) throws(NVMeError) in
            let identity = try engine.identify(AdminCommand.Identify.controller, "Identify (controller)")
            let version = engine.registers.read32(at: ControllerRegister.version)
            return ControllerInfo(identity, pageSize: engine.pageSize, version: version)
        }
        self.core = core
        self.space = space
        self.capabilities = capabilities
        self.pageSize = pageSize
        self.queueEntryLimit = queueEntryLimit
        self.options = options
    }

    // MARK: Namespaces

    /// Returns the numbers of the active namespaces, also of those that ``namespace(_:)`` cannot use.
    public func namespaceIDs() throws(NVMeError) -> [UInt32] {
        try core.withEngine { (engine) throws(NVMeError) in try engine.namespaceIDs(info) }
    }

    /// Returns a namespace.
    ///
    /// - Throws: `.invalidArgument` when there is no active namespace of this number, `.unsupported` for a format with
    ///   metadata, for blocks that are larger than the maximum transfer of a command, and for another command set.
    public func namespace(_ id: UInt32 = 1) throws(NVMeError) -> Namespace {
        let bytes: [UInt8]
        do throws(NVMeError) {
            bytes = try core.withEngine { (engine) throws(NVMeError) in
                try engine.identifyNamespace(id)
            }
        } catch .status(let status, _) where status.matches(.invalidNamespace) {
            throw .invalidArgument("the controller has no active namespace \(id)")
        }
        let namespace = try Namespace(id: id, identity: bytes)
        // The maximum that one page list describes, as in a queue's memory.
        let limit = min(info.maximumTransferByteCount ?? .max, pageSize / 8 * pageSize)
        guard namespace.blockSize <= limit else {
            throw .unsupported(
                "blocks of \(namespace.blockSize) bytes, which namespace \(id) has: a command moves \(limit) at most")
        }
        return namespace
    }

    // MARK: Queues

    /// Creates an I/O queue pair.
    ///
    /// - Parameters:
    ///   - depth: The maximum number of commands in flight, at least 1 and less than the controller's maximum queue
    ///     size; by default 64, or fewer if the controller's queues are smaller.
    ///   - maximumTransferByteCount: The maximum number of bytes of one command. It is limited to the controller's
    ///     maximum.
    ///   - interrupts: Whether ``QueuePair/waitForCompletion()`` sleeps until the queue's MSI-X interrupt, instead of
    ///     polling. Queues share vectors if the controller has fewer.
    /// - Throws: `.unsupported` when the controller has no more queues, `.invalidArgument`, `.status`, `.vfio`;
    ///   `.adminTimeout`, after which the controller has been reset, and its other queues must recover; `.notStopped`
    ///   when that could not be done.
    public func makeQueue(
        depth: Int? = nil, maximumTransferByteCount: Int = 128 << 10, interrupts: Bool = false
    ) throws(NVMeError) -> QueuePair {
        let memory = try QueueMemory(
            in: space, depth: depth ?? min(64, queueEntryLimit - 1),
            maximumTransferByteCount: min(maximumTransferByteCount, info.maximumTransferByteCount ?? .max),
            pageSize: pageSize, maximumEntryCount: queueEntryLimit)
        // Not connected yet: on errors it only releases the number.
        var registration = QueueRegistration(id: try core.reserveQueue(), core: core, epoch: 0, memory.buffers)
        let id = registration.id
        let registers = try withDevice { (device) throws(VFIOError) in try device.makeRegisterBank(of: .bar0) }
        try ControllerEngine.checkDoorbells(of: id, capabilities, registers)
        let interrupt = interrupts ? try core.takeInterrupt(for: id) : nil
        registration.epoch = try core.connectQueue(id, memory, vector: interrupt?.number)
        return QueuePair(
            registration, registers: registers, doorbellStride: capabilities.doorbellStride, memory: memory,
            interrupt: interrupt, commandTimeout: options.commandTimeout)
    }

    // MARK: Life

    /// Resets the controller and initialises it again. All queues must then recover (``QueuePair/recover()``); their
    /// commands complete with ``CommandStatus/aborted``.
    public func reset() throws(NVMeError) { try core.reset() }

    /// Calls a closure with the device, for a reset of the function, its config space, or its interrupts.
    ///
    /// The controller is not locked meanwhile: the closure and other threads may use it and its queues, and see what the
    /// closure does to the device, such as a reset.
    ///
    /// - Throws: `.vfio` with the closure's error; `.notStopped` after the device was closed because of that.
    public func withDevice<Result: ~Copyable>(
        _ body: (borrowing Device) throws(VFIOError) -> Result
    ) throws(NVMeError) -> Result {
        let result = try core.result(of: body)
        do throws(VFIOError) { return try result.get() } catch { throw .vfio(error) }
    }

    /// Shuts the controller down (CC.SHN), closes the device, and reports errors.
    ///
    /// - Throws: `.vfio` with `.inUse` when a queue is still open: the controller is then shut down, and the device is
    ///   closed with the last queue.
    public consuming func close() throws(NVMeError) { try core.close() }
}

extension Controller {
    /// Calls a closure with the device. The closure throws its own errors.
    public func withDevice<Value: ~Copyable>(_ body: (borrowing Device) throws -> Value) throws -> Value {
        try core.result(of: body).get()
    }
}
