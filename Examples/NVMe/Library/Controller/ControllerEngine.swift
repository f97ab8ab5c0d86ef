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

    /// Gets everything ready that a controller needs.
    init(_ device: consuming Device, options: ControllerOptions) throws(NVMeError) {
        try Self.prepare(device)
        let registers = try Self.registers(of: device)
        let adminRegisters = try Self.registers(of: device)
        let capabilities = try Self.readCapabilities(registers)
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

    private static func prepare(_ device: borrowing Device) throws(NVMeError) {
        do throws(VFIOError) {
            try device.config.updateCommand { $0.formUnion([.memoryDecode, .busMaster]) }
        } catch {
            throw .vfio(error)
        }
    }

    static func registers(of device: borrowing Device) throws(NVMeError) -> RegisterBank {
        do throws(VFIOError) { return try device.registers(of: .bar0) } catch { throw .vfio(error) }
    }

    private static func allocate(_ byteCount: Int, for device: borrowing Device) throws(NVMeError) -> DMABuffer {
        do throws(VFIOError) { return try device.space.allocate(byteCount: byteCount) } catch { throw .vfio(error) }
    }

    private static func readCapabilities(
        _ registers: borrowing RegisterBank
    ) throws(NVMeError) -> ControllerCapabilities {
        let capabilities = ControllerCapabilities(
            rawValue: registers.registers.read64(at: ControllerRegister.capabilities))
        try check(registers)
        guard capabilities.rawValue != .max else { throw .gone }
        guard capabilities.hasNVMCommandSet else { throw .unsupported("the NVM command set") }
        guard capabilities.minimumPageSize <= 64 << 10 else {
            throw .unsupported("memory pages of up to 64 KiB; its smallest have \(capabilities.minimumPageSize) bytes")
        }
        return capabilities
    }

    // MARK: Life

    /// Brings the controller up, whatever state it is in.
    mutating func bringUp() throws(NVMeError) {
        do throws(NVMeError) {
            try stop()
            try start()
        } catch {
            // The memory of the admin queue may be freed now, so the controller must not reach for it.
            try? quiet()
            throw error
        }
    }

    /// Has the controller work with the admin queue.
    mutating func start() throws(NVMeError) {
        try Self.prepare(device)
        admin.endAll()
        while admin.nextCompletion() != nil {}
        let entries = (UInt32(admin.memory.submissionEntryCount - 1), UInt32(admin.memory.completionEntryCount - 1))
        var configuration = ControllerConfiguration(pageShift: pageSize.trailingZeroBitCount)
        configuration.isEnabled = true
        do {
            let view = registers.registers
            view.write32(entries.1 << 16 | entries.0, at: ControllerRegister.adminQueueAttributes)
            view.write64(admin.memory.submissions.iova.rawValue, at: ControllerRegister.adminSubmissionQueue)
            view.write64(admin.memory.completions.iova.rawValue, at: ControllerRegister.adminCompletionQueue)
            view.writeReleasing32(configuration.rawValue, at: ControllerRegister.configuration)
        }
        try wait(for: "the controller to become ready (CSTS.RDY = 1)", readyTimeout) { $0.isReady }
        isRunning = true
        do throws(NVMeError) {
            try askForQueues()
        } catch {
            isRunning = false
            throw error
        }
    }

    /// Stops the controller, so that it reaches for no memory any more: as it is asked to, or else by a reset of the
    /// function.
    ///
    /// - Throws: `.gone`, after which it reaches for nothing either, and what kept it from being stopped; its DMA is
    ///   switched off then.
    mutating func stop() throws(NVMeError) {
        isRunning = false
        do throws(NVMeError) {
            try disable()
        } catch .gone {
            throw .gone
        } catch {
            try quiet()
            guard device.info.canReset else { throw error }
            try withDevice { (device) throws(VFIOError) in try device.reset() }
            try disable()
        }
    }

    /// Switches the controller's DMA off, whatever it is doing.
    private func quiet() throws(NVMeError) {
        try withDevice { (device) throws(VFIOError) in try device.config.updateCommand { $0.remove(.busMaster) } }
    }

    private func disable() throws(NVMeError) {
        var configuration = ControllerConfiguration(
            rawValue: registers.registers.read32(at: ControllerRegister.configuration))
        try Self.check(registers)
        guard configuration.rawValue != .max else { throw .gone }
        configuration.isEnabled = false
        registers.registers.write32(configuration.rawValue, at: ControllerRegister.configuration)
        try wait(for: "the controller to stop (CSTS.RDY = 0)", readyTimeout, evenIfFatal: true) { !$0.isReady }
    }

    /// Shuts the controller down in order, so that it saves what it has in its caches, and closes the device.
    consuming func close() throws(NVMeError) {
        var failure: NVMeError?
        do throws(NVMeError) { try shutDown() } catch { failure = error }
        do throws(NVMeError) { try admin.close() } catch { failure = failure ?? error }
        do throws(VFIOError) { try answer.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try registers.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try device.close() } catch { failure = failure ?? .vfio(error) }
        if let failure { throw failure }
    }

    mutating func shutDown() throws(NVMeError) {
        if isRunning {
            let configuration = ControllerConfiguration(
                rawValue: registers.registers.read32(at: ControllerRegister.configuration))
            try Self.check(registers)
            guard configuration.rawValue != .max else { throw .gone }
            registers.registers.write32(configuration.shuttingDown.rawValue, at: ControllerRegister.configuration)
            try wait(for: "the controller's shutdown (CSTS.SHST = 10b)", options.shutdownTimeout) { $0.isShutDown }
        }
        try stop()
        try quiet()
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
            let status = ControllerStatus(rawValue: registers.registers.read32(at: ControllerRegister.status))
            try Self.check(registers)
            if status.isGone { throw .gone }
            if condition(status) { return }
            if status.isFatal, !evenIfFatal { throw .fatalStatus }
            if now > deadline { throw .timeout(waitingFor: subject, limit: limit) }
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

    // MARK: Admin commands

    /// Sends an admin command and waits for its end.
    ///
    /// - Returns: Dword 0 of the completion.
    @discardableResult
    mutating func execute(_ entry: SubmissionEntry, _ name: String) throws(NVMeError) -> UInt32 {
        guard isRunning, let command = admin.submit(entry) else { throw .closed }
        while true {
            let completion: Completion
            do throws(NVMeError) {
                completion = try admin.waitForCompletion()
            } catch .timeout(_, let limit) {
                throw .timeout(waitingFor: "the end of \(name)", limit: limit)
            }
            // Another one has been given up before.
            guard completion.command == command else { continue }
            guard completion.status.isSuccess else { throw .status(completion.status, command: name) }
            return completion.result
        }
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
            try? deleteCompletionQueue(id)
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
