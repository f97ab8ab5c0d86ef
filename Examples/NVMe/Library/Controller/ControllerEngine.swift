internal import Glibc
internal import VFIO

/// The controller, as one thread at a time works with it: its registers, its admin queue, its life.
struct ControllerEngine: ~Copyable, Sendable {
    let device: Device
    let registers: RegisterBank
    let capabilities: ControllerCapabilities
    let options: ControllerOptions
    let pageSize: Int
    var admin: QueuePair
    /// Where the answers to Identify go.
    let answer: DMABuffer
    /// How many I/O queues the controller lets us have.
    private(set) var queueLimit = 0
    /// Whether the controller is up, so that commands make sense.
    private(set) var isRunning = false
    /// Whether the controller is known to keep off all memory: it is disabled, or its DMA is switched off.
    private(set) var isQuiet = true
    /// Why the admin queue is not to be used until the controller has been reset: a command without an end may still write
    /// its answer to where the next one's goes, or the controller may know of a queue that is none.
    private var stuckReason: NVMeError?
    /// Whether the controller has to be reset before memory is freed or an admin command sent.
    var isStuck: Bool { stuckReason != nil }

    /// Gets everything ready that a controller needs.
    init(_ device: consuming Device, options: ControllerOptions) throws(NVMeError) {
        try Self.identify(device)
        try Self.prepare(device)
        let registers = try Self.registers(of: device)
        let adminRegisters = try Self.registers(of: device)
        let capabilities = try Self.readCapabilities(registers)
        try Self.checkDoorbells(of: 0, capabilities, registers)
        let pageSize = capabilities.minimumPageSize
        let answer = try Self.allocate(pageSize, for: device)
        let memory = try QueueMemory(
            in: device.space, depth: 31, maximumTransferByteCount: 4096, pageSize: pageSize, maximumEntryCount: 4096)
        let admin = QueuePair(
            id: 0, registers: adminRegisters, doorbellStride: capabilities.doorbellStride, memory: memory,
            commandTimeout: options.commandTimeout)
        self.admin = admin
        self.pageSize = pageSize
        self.registers = registers
        self.answer = answer
        self.capabilities = capabilities
        self.options = options
        self.device = device
    }

    /// Makes sure that it is an NVMe controller, before anything is written to it.
    private static func identify(_ device: borrowing Device) throws(NVMeError) {
        let classCode: UInt32
        do throws(VFIOError) { classCode = try device.config.classCode() } catch { throw .vfio(error) }
        // Mass storage, non-volatile memory, NVM Express (NVM Express Base Specification 1.4, 2.1.5).
        guard classCode == 0x010802 else {
            throw .unsupported(
                "the NVMe class code, 0x10802: \(device.address) has 0x\(String(classCode, radix: 16)), so it is no NVMe "
                    + "controller")
        }
    }

    /// Opens the registers. No DMA yet: what the controller was told to do before is not known.
    private static func prepare(_ device: borrowing Device) throws(NVMeError) {
        do throws(VFIOError) {
            try device.config.updateCommand {
                $0.remove(.busMaster)
                // Nobody listens to the pin.
                $0.formUnion([.memoryDecode, .interruptDisable])
            }
        } catch {
            throw .vfio(error)
        }
    }

    /// Makes sure that a queue's doorbells are in BAR 0.
    static func checkDoorbells(
        of queue: UInt16, _ capabilities: ControllerCapabilities, _ registers: borrowing RegisterBank
    ) throws(NVMeError) {
        let end = ControllerRegister.doorbells + (2 * Int(queue) + 1) * capabilities.doorbellStride + 4
        guard end <= registers.byteCount else {
            throw .unsupported(
                "doorbells of queue \(queue) inside of BAR 0: they end at \(end), and it has \(registers.byteCount) bytes"
            )
        }
    }

    static func registers(of device: borrowing Device) throws(NVMeError) -> RegisterBank {
        do throws(VFIOError) { return try device.makeRegisterBank(of: .bar0) } catch { throw .vfio(error) }
    }

    private static func allocate(_ byteCount: Int, for device: borrowing Device) throws(NVMeError) -> DMABuffer {
        do throws(VFIOError) { return try device.space.allocate(byteCount: byteCount) } catch { throw .vfio(error) }
    }

    private static func readCapabilities(
        _ registers: borrowing RegisterBank
    ) throws(NVMeError) -> ControllerCapabilities {
        // The registers, and the doorbells of the admin queue.
        guard registers.byteCount >= ControllerRegister.doorbells + 8 else {
            throw .unsupported("a BAR 0 of at least 4104 bytes; it has \(registers.byteCount)")
        }
        let capabilities = ControllerCapabilities(
            rawValue: registers.read64(at: ControllerRegister.capabilities))
        try check(registers)
        guard capabilities.rawValue != .max else { throw .gone }
        guard capabilities.hasNVMCommandSet else { throw .unsupported("the NVM command set") }
        guard capabilities.maximumQueueEntryCount > 1 else { throw .unsupported("queues of more than one entry") }
        // Memory is aligned to the host's pages, and no better.
        let pageSize = HostKernel().pageSize
        guard capabilities.minimumPageSize <= pageSize else {
            throw .unsupported(
                "memory pages of the host's \(pageSize) bytes; its smallest have \(capabilities.minimumPageSize)")
        }
        return capabilities
    }

    // MARK: Life

    /// Brings the controller up, which has been stopped. When that fails, it is stopped again.
    mutating func start() throws(NVMeError) {
        do throws(NVMeError) {
            try enable()
        } catch {
            isRunning = false
            // The next life begins with a stop, and so does the end, so what fails here is told then.
            try? quiet()
            throw error
        }
    }

    /// Has the controller work with the admin queue.
    private mutating func enable() throws(NVMeError) {
        // A reset of the function has switched it off.
        try Self.prepare(device)
        stuckReason = nil
        admin.endAll()
        while admin.nextCompletion() != nil {}
        let entries = (UInt32(admin.memory.submissionEntryCount - 1), UInt32(admin.memory.completionEntryCount - 1))
        var configuration = ControllerConfiguration(pageShift: pageSize.trailingZeroBitCount)
        configuration.isEnabled = true
        // From here on the controller may reach for memory.
        isQuiet = false
        try withDevice { (device) throws(VFIOError) in try device.config.updateCommand { $0.insert(.busMaster) } }
        registers.write32(entries.1 << 16 | entries.0, at: ControllerRegister.adminQueueAttributes)
        registers.write64(admin.memory.submissions.iova.rawValue, at: ControllerRegister.adminSubmissionQueue)
        registers.write64(admin.memory.completions.iova.rawValue, at: ControllerRegister.adminCompletionQueue)
        registers.writeReleasing32(configuration.rawValue, at: ControllerRegister.configuration)
        try wait(for: "the controller to become ready (CSTS.RDY = 1)", readyTimeout) { $0.isReady }
        isRunning = true
        try askForQueues()
    }

    /// Stops the controller, so that it reaches for no memory any more: as it is asked to, or else by a reset of the
    /// function.
    ///
    /// - Throws: `.notStopped` when it may still reach for memory. After any other error it does not: `.gone`, and what
    ///   kept it from being stopped in order.
    mutating func stop() throws(NVMeError) {
        isRunning = false
        do throws(NVMeError) {
            try disable()
            isQuiet = true
        } catch .gone {
            // Registers that nobody decodes read like that, too. Where the config space fails as well, it is gone indeed.
            try? quiet()
            isQuiet = true
            throw .gone
        } catch {
            try quiet(after: error)
            guard device.info.canReset else { throw error }
            try withDevice { (device) throws(VFIOError) in try device.reset() }
            try disable()
        }
    }

    /// Switches the controller's DMA off, whatever it is doing.
    private mutating func quiet() throws(NVMeError) {
        try withDevice { (device) throws(VFIOError) in try device.config.updateCommand { $0.remove(.busMaster) } }
        isQuiet = true
    }

    private mutating func quiet(after failure: NVMeError) throws(NVMeError) {
        do throws(NVMeError) { try quiet() } catch { throw .notStopped("\(failure); \(error)") }
    }

    private func disable() throws(NVMeError) {
        var configuration = ControllerConfiguration(
            rawValue: registers.read32(at: ControllerRegister.configuration))
        try Self.check(registers)
        guard configuration.rawValue != .max else { throw .gone }
        configuration.isEnabled = false
        registers.write32(configuration.rawValue, at: ControllerRegister.configuration)
        try wait(for: "the controller to stop (CSTS.RDY = 0)", readyTimeout, evenIfFatal: true) { !$0.isReady }
    }

    /// Shuts the controller down in order, so that it saves what it has in its caches, and stops it, whatever comes of
    /// that.
    ///
    /// - Throws: As ``stop()``, and what went wrong with the shutdown.
    mutating func shutDown() throws(NVMeError) {
        var failure: NVMeError?
        if isRunning {
            do throws(NVMeError) { try askToShutDown() } catch { failure = error }
        }
        do throws(NVMeError) { try stop() } catch {
            // What may still write to memory is worse than what was not saved.
            if case .notStopped = error { failure = error }
            failure = failure ?? error
        }
        do throws(NVMeError) { try quiet() } catch { failure = failure ?? error }
        if let failure { throw failure }
    }

    private mutating func askToShutDown() throws(NVMeError) {
        let configuration = ControllerConfiguration(
            rawValue: registers.read32(at: ControllerRegister.configuration))
        try Self.check(registers)
        guard configuration.rawValue != .max else { throw .gone }
        registers.write32(configuration.shuttingDown.rawValue, at: ControllerRegister.configuration)
        try wait(for: "the controller's shutdown (CSTS.SHST = 10b)", options.shutdownTimeout) { $0.isShutDown }
    }

    /// Frees what the controller has used, which was shut down before, and closes the device.
    consuming func close() throws(NVMeError) {
        var failure: NVMeError?
        do throws(NVMeError) { try admin.close() } catch { failure = error }
        do throws(VFIOError) { try answer.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try registers.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try device.close() } catch { failure = failure ?? .vfio(error) }
        if let failure { throw failure }
    }

    // MARK: Waiting

    private var readyTimeout: Duration { options.readyTimeout ?? max(capabilities.readyTimeout, .milliseconds(500)) }

    private func wait(
        for subject: String, _ limit: Duration, evenIfFatal: Bool = false, until condition: (ControllerStatus) -> Bool
    ) throws(NVMeError) {
        let deadline = ContinuousClock.now + limit
        while true {
            // The time before the look: what came in time counts, even if this thread was kept from looking.
            let now = ContinuousClock.now
            let status = ControllerStatus(rawValue: registers.read32(at: ControllerRegister.status))
            try Self.check(registers)
            if status.isGone { throw .gone }
            if condition(status) { return }
            if status.isFatal, !evenIfFatal { throw .fatalStatus }
            if now > deadline { throw .timeout(waitingFor: subject, limit: limit) }
            // It may take seconds, and each look is an access to the device.
            usleep(100)
        }
    }

    private static func check(_ registers: borrowing RegisterBank) throws(NVMeError) {
        do throws(VFIOError) { try registers.check() } catch { throw .vfio(error) }
    }

    func withDevice<Result: ~Copyable>(
        _ body: (borrowing Device) throws(VFIOError) -> Result
    ) throws(NVMeError) -> Result {
        do throws(VFIOError) { return try body(device) } catch { throw .vfio(error) }
    }

    func result<Value: ~Copyable>(of body: (borrowing Device) throws -> Value) -> Result<Value, any Error> {
        do { return .success(try body(device)) } catch { return .failure(error) }
    }

    // MARK: Admin commands

    /// Sends an admin command and waits for its end.
    ///
    /// - Returns: Dword 0 of the completion.
    /// - Throws: `.status`. After any other error each further command throws that one, until the controller is reset.
    @discardableResult
    mutating func execute(_ entry: SubmissionEntry, _ name: String) throws(NVMeError) -> UInt32 {
        guard isRunning else { throw .closed }
        if let stuckReason { throw stuckReason }
        guard let command = admin.submit(entry) else { throw .closed }
        let completion: Completion
        do throws(NVMeError) {
            completion = try admin.waitForCompletion()
            guard completion.command == command else {
                throw .protocolViolation("the end of another command than \(name) in the admin queue")
            }
        } catch {
            var reason = error
            if case .timeout(_, let limit) = error { reason = .adminTimeout(command: name, limit: limit) }
            stuckReason = reason
            throw reason
        }
        guard completion.status.isSuccess else { throw .status(completion.status, command: name) }
        return completion.result
    }

    /// Asks for the number of I/O queues (Set Features, Number of Queues: 5.21.1.7).
    private mutating func askForQueues() throws(NVMeError) {
        let wanted = UInt64(min(max(options.queueCount, 1), 65534) - 1)
        let granted = try execute(
            SubmissionEntry(
                opcode: AdminCommand.setFeatures,
                dwords10And11: AdminCommand.numberOfQueues | (wanted << 16 | wanted) << 32),
            "Set Features (Number of Queues)")
        queueLimit = min(options.queueCount, Int(granted & 0xffff) + 1, Int(granted >> 16) + 1)
    }

    /// Asks for one of the pages that describe the controller.
    mutating func identify(_ what: UInt64, namespace: UInt32 = 0, _ name: String) throws(NVMeError) -> [UInt8] {
        try execute(
            SubmissionEntry(
                opcode: AdminCommand.identify, namespace: namespace, data: answer.iova.rawValue, dwords10And11: what),
            name)
        return answer.bytes(count: 4096)
    }

    /// Asks the controller to end a command (Abort: 5.1).
    ///
    /// - Returns: Whether it has; otherwise the command ends by itself, or never.
    mutating func abort(_ identifier: UInt16, of queue: UInt16) throws(NVMeError) -> Bool {
        let answer = try execute(
            SubmissionEntry(
                opcode: AdminCommand.abort, dwords10And11: UInt64(identifier) << 16 | UInt64(queue)),
            "Abort")
        return answer & 1 == 0
    }

    /// Tells the controller of a queue pair (Create I/O Completion Queue, Create I/O Submission Queue: 5.3, 5.4).
    ///
    /// - Throws: With ``isStuck`` set when the controller may know some of the queue now, so that a reset has to come
    ///   before the memory is freed.
    mutating func createQueue(_ id: UInt16, _ memory: borrowing QueueMemory, vector: Int?) throws(NVMeError) {
        let number = UInt64(id)
        let interrupt = vector.map { UInt64($0) << 16 | 1 << 1 } ?? 0
        try execute(
            SubmissionEntry(
                opcode: AdminCommand.createCompletionQueue, data: memory.completions.iova.rawValue,
                dwords10And11: UInt64(memory.completionEntryCount - 1) << 16 | number | (interrupt | 1) << 32),
            "Create I/O Completion Queue \(id)")
        do throws(NVMeError) {
            try execute(
                SubmissionEntry(
                    opcode: AdminCommand.createSubmissionQueue, data: memory.submissions.iova.rawValue,
                    dwords10And11: UInt64(memory.submissionEntryCount - 1) << 16 | number | (number << 16 | 1) << 32),
                "Create I/O Submission Queue \(id)")
        } catch {
            // Refused: then the controller can be told to forget the other one. Otherwise the admin queue is stuck.
            do throws(NVMeError) {
                try deleteCompletionQueue(id)
            } catch let second {
                stuckReason = stuckReason ?? second
            }
            throw error
        }
    }

    /// Has the controller forget a queue pair; what is in flight ends.
    mutating func deleteQueue(_ id: UInt16) throws(NVMeError) {
        try execute(
            SubmissionEntry(opcode: AdminCommand.deleteSubmissionQueue, dwords10And11: UInt64(id)),
            "Delete I/O Submission Queue \(id)")
        try deleteCompletionQueue(id)
    }

    private mutating func deleteCompletionQueue(_ id: UInt16) throws(NVMeError) {
        try execute(
            SubmissionEntry(opcode: AdminCommand.deleteCompletionQueue, dwords10And11: UInt64(id)),
            "Delete I/O Completion Queue \(id)")
    }
}
