public import VFIO

/// An NVMe controller that belongs to this program.
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
/// Make buffers before the queue that uses them. What was made last ends first, also when an error is thrown: the
/// controller forgets the queue, and reaches for no buffer any more, before the buffers are freed.
///
/// It has one owner. The controller is shut down by ``close()``, or at the end of its life and that of all its queues. It
/// works the same on a real kernel and on the mock.
public struct Controller: ~Copyable, Sendable {
    private let core: ControllerCore
    /// The address space that the controller is in.
    public let space: AddressSpace
    /// What the controller can do.
    public let capabilities: ControllerCapabilities
    /// What the controller says of itself.
    public let info: ControllerInfo
    /// The memory page that the driver has agreed upon with the controller, in bytes.
    public let pageSize: Int
    private let options: ControllerOptions

    /// Brings a controller up: a reset, the admin queue, the number of I/O queues.
    ///
    /// - Parameters:
    ///   - device: The controller, which becomes the driver's.
    ///   - options: How it is to be brought up.
    /// - Throws: `.timeout` when the controller does not become ready, `.fatalStatus`, `.gone`, `.unsupported`, and `.vfio`
    ///   with what the library refused.
    public init(_ device: consuming Device, options: ControllerOptions = ControllerOptions()) throws(NVMeError) {
        let space = device.space
        var engine = try ControllerEngine(device, options: options)
        try engine.stop()
        try engine.start()
        let (capabilities, pageSize) = (engine.capabilities, engine.pageSize)
        // From here on it is shut down when something goes wrong.
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
        self.options = options
    }

    // MARK: Namespaces

    /// The numbers of the active namespaces.
    public func namespaceIDs() throws(NVMeError) -> [UInt32] {
        let bytes = try core.withEngine { (engine) throws(NVMeError) in
            try engine.identify(AdminCommand.Identify.activeNamespaces, "Identify (active namespaces)")
        }
        let numbers = stride(from: 0, to: 4096, by: 4).map { offset in
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
        }
        return Array(numbers.prefix { $0 != 0 })
    }

    /// Asks for a namespace.
    ///
    /// - Throws: `.invalidArgument` when there is no active one of this number, `.unsupported` for a format with metadata,
    ///   and for blocks that are larger than what a command can move.
    public func namespace(_ id: UInt32 = 1) throws(NVMeError) -> Namespace {
        let bytes: [UInt8]
        do throws(NVMeError) {
            bytes = try core.withEngine { (engine) throws(NVMeError) in
                try engine.identify(AdminCommand.Identify.namespace, namespace: id, "Identify (namespace \(id))")
            }
        } catch .status(let status, _) where status.matches(.invalidNamespace) {
            throw .invalidArgument("the controller has no active namespace \(id)")
        }
        let namespace = try Namespace(id: id, identity: bytes)
        // What one list of pages describes, as in a queue's memory.
        let limit = min(info.maximumTransferByteCount ?? .max, pageSize / 8 * pageSize)
        guard namespace.blockSize <= limit else {
            throw .unsupported(
                "blocks of \(namespace.blockSize) bytes, which namespace \(id) has: a command moves \(limit) at most")
        }
        return namespace
    }

    // MARK: Queues

    /// Makes an I/O queue pair.
    ///
    /// - Parameters:
    ///   - depth: How many commands can be in flight, at least 1 and fewer than the controller's entries of a queue.
    ///   - maximumTransferByteCount: The most bytes that one command can move. It is lowered to what the controller can.
    ///   - interrupts: Whether ``QueuePair/waitForCompletion()`` sleeps until the queue's MSI-X comes, instead of polling.
    /// - Throws: `.unsupported` when the controller has no more queues, `.invalidArgument`, `.status`, `.vfio`; `.adminTimeout`,
    ///   after which the controller has been reset, and its other queues have to recover.
    public func makeQueue(
        depth: Int = 64, maximumTransferByteCount: Int = 128 << 10, interrupts: Bool = false
    ) throws(NVMeError) -> QueuePair {
        let memory = try QueueMemory(
            in: space, depth: depth,
            maximumTransferByteCount: min(maximumTransferByteCount, info.maximumTransferByteCount ?? .max),
            pageSize: pageSize, maximumEntryCount: capabilities.maximumQueueEntryCount)
        // Of no life yet: it only gives the number back.
        var registration = QueueRegistration(id: try core.reserveQueue(), core: core, epoch: 0)
        let id = registration.id
        let registers = try withDevice { (device) throws(VFIOError) in try device.makeRegisterBank(of: .bar0) }
        try ControllerEngine.checkDoorbells(of: id, capabilities, registers)
        let vector: InterruptVector? =
            interrupts
            ? try withDevice { (device) throws(VFIOError) in
                try device.interrupts(.msix).enable(vector: Int(id))
            } : nil
        registration.epoch = try core.connectQueue(id, memory, vector: interrupts ? Int(id) : nil)
        return QueuePair(
            registration, registers: registers, doorbellStride: capabilities.doorbellStride, memory: memory,
            vector: vector, commandTimeout: options.commandTimeout)
    }

    // MARK: Life

    /// Resets the controller and brings it up again. All queues have to recover then (``QueuePair/recover()``); their
    /// commands end with ``CommandStatus/aborted``.
    public func reset() throws(NVMeError) { try core.reset() }

    /// Works with the device itself: for a reset of the function, its config space, its interrupts.
    ///
    /// The controller waits meanwhile, for all threads: the closure must not call it, nor make, recover, abort on, or
    /// close a queue of it, which would wait for ever.
    public func withDevice<Result: ~Copyable>(
        _ body: (borrowing Device) throws(VFIOError) -> Result
    ) throws(NVMeError) -> Result {
        try core.withEngine { (engine) throws(NVMeError) in try engine.withDevice(body) }
    }

    /// Shuts the controller down in order (CC.SHN), closes the device, and reports what went wrong.
    ///
    /// - Throws: `.vfio` with `.inUse` when a queue is still alive: the controller is shut down then, and the device is
    ///   closed with the last queue.
    public consuming func close() throws(NVMeError) { try core.close() }
}

extension Controller {
    /// Works with the device itself, in a closure that throws errors of its own.
    public func withDevice<Value: ~Copyable>(_ body: (borrowing Device) throws -> Value) throws -> Value {
        try core.withEngine { (engine) throws(NVMeError) in engine.result(of: body) }.get()
    }
}
