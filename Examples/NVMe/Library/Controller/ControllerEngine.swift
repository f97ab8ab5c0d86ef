internal import Glibc
internal import VFIO

/// The controller's registers, admin queue and state, which are used by one thread at a time.
struct ControllerEngine: ~Copyable, Sendable {
    let device: SharedDevice
    private let canReset: Bool
    let registers: RegisterBank
    let capabilities: ControllerCapabilities
    let quirks: ControllerQuirks
    let commandSet: ControllerConfiguration.CommandSet
    let options: ControllerOptions
    let pageSize: Int
    var admin: QueuePair
    /// The buffer for the data of Identify.
    let answer: DMABuffer
    /// The number of I/O queues that the controller has granted.
    private(set) var queueLimit = 0
    /// Whether the controller is enabled and accepts commands.
    private(set) var isRunning = false
    /// Whether the controller is known not to access memory: it is disabled, or its DMA is disabled.
    private(set) var isQuiet = true
    /// Why the admin queue must not be used until the controller has been reset: a command that has not completed may
    /// still write to the buffer of the next one, or a queue may exist at the controller whose creation has failed.
    private var stuckReason: NVMeError?
    /// Whether the controller must be reset before memory is freed or an admin command sent.
    var isStuck: Bool { stuckReason != nil }

    /// Allocates the resources of a controller.
    init(_ device: consuming Device, options: ControllerOptions) throws(NVMeError) {
        let quirks = try Self.identify(device)
        try Self.prepare(device)
        let registers = try Self.registers(of: device)
        let adminRegisters = try Self.registers(of: device)
        let capabilities = try Self.readCapabilities(registers, quirks)
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
        self.quirks = quirks
        commandSet = ControllerConfiguration.CommandSet(capabilities)
        self.options = options
        canReset = device.info.canReset
        self.device = SharedDevice(device)
    }

    /// Checks that the device is an NVMe controller, before anything is written to it.
    private static func identify(_ device: borrowing Device) throws(NVMeError) -> ControllerQuirks {
        let classCode: UInt32
        let quirks: ControllerQuirks
        do throws(VFIOError) {
            classCode = try device.config.classCode()
            quirks = ControllerQuirks(vendor: try device.config.read16(at: 0), device: try device.config.read16(at: 2))
        } catch { throw error.code == .deviceGone ? .gone : .vfio(error) }
        // Mass storage, non-volatile memory, NVM Express (NVM Express Base Specification 1.4, 2.1.5).
        guard classCode == 0x010802 || quirks.contains(.otherClass) else {
            throw .unsupported(
                "the NVMe class code, 0x10802: \(device.address) has 0x\(String(classCode, radix: 16)), so it is no NVMe "
                    + "controller")
        }
        guard !quirks.contains(.otherEntries) else {
            throw .unsupported(
                "submission entries of 128 bytes, and command identifiers that are shared by all queues, which "
                    + "\(device.address) needs")
        }
        return quirks
    }

    /// Enables register access. DMA stays disabled, because the controller may still have commands of a previous owner.
    private static func prepare(_ device: borrowing Device) throws(NVMeError) {
        do throws(VFIOError) {
            try device.config.updateCommand {
                $0.remove(.busMaster)
                // INTx is not used.
                $0.formUnion([.memoryDecode, .interruptDisable])
            }
        } catch {
            throw .vfio(error)
        }
    }

    /// Checks that a queue's doorbells are in BAR 0.
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

    /// Reads a register of 64 bits as two halves, because there are controllers that take no loads and stores of 64 bits
    /// (Linux's driver makes none).
    private static func read64(_ registers: borrowing RegisterBank, at offset: Int) -> UInt64 {
        let low = registers.read32(at: offset)
        return UInt64(low) | UInt64(registers.read32(at: offset + 4)) << 32
    }

    private func write64(_ value: UInt64, at offset: Int) {
        registers.write32(UInt32(truncatingIfNeeded: value), at: offset)
        registers.write32(UInt32(truncatingIfNeeded: value >> 32), at: offset + 4)
    }

    private static func readCapabilities(
        _ registers: borrowing RegisterBank, _ quirks: ControllerQuirks
    ) throws(NVMeError) -> ControllerCapabilities {
        // BAR 0 must contain the registers and the doorbells of the admin queue.
        guard registers.byteCount >= ControllerRegister.doorbells + 8 else {
            throw .unsupported("a BAR 0 of at least 4104 bytes; it has \(registers.byteCount)")
        }
        let capabilities = ControllerCapabilities(
            rawValue: read64(registers, at: ControllerRegister.capabilities))
        try check(registers)
        guard capabilities.rawValue != .max else { throw .gone }
        guard capabilities.maximumQueueEntryCount > 1 || quirks.contains(.zeroMeans64Entries) else {
            throw .unsupported("queues of more than one entry")
        }
        // Buffers are aligned to host pages only.
        let pageSize = HostKernel().pageSize
        guard capabilities.minimumPageSize <= pageSize else {
            throw .unsupported(
                "memory pages of the host's \(pageSize) bytes; its smallest have \(capabilities.minimumPageSize)")
        }
        return capabilities
    }

    // MARK: Life

    /// Enables the controller, which must be stopped. After an error it is stopped again.
    mutating func start() throws(NVMeError) {
        do throws(NVMeError) {
            try enable()
        } catch {
            isRunning = false
            // The next start and the close stop it again, so they report this error.
            try? quiet()
            throw error
        }
    }

    /// Configures and enables the controller with its admin queue.
    private mutating func enable() throws(NVMeError) {
        // A reset of the function has disabled memory decode.
        try device.result(of: { (device) throws(NVMeError) in try Self.prepare(device) }).get()
        stuckReason = nil
        admin.endAll()
        while admin.nextCompletion() != nil {}
        let entries = (UInt32(admin.memory.submissionEntryCount - 1), UInt32(admin.memory.completionEntryCount - 1))
        var configuration = ControllerConfiguration(pageShift: pageSize.trailingZeroBitCount, commandSet)
        configuration.isEnabled = true
        // A fatal status from before: it is only cleared by becoming ready, if the stop had nothing to stop.
        let wasFatal = ControllerStatus(rawValue: registers.read32(at: ControllerRegister.status)).isFatal
        // From here on the controller may access memory.
        isQuiet = false
        try withDevice { (device) throws(VFIOError) in try device.config.updateCommand { $0.insert(.busMaster) } }
        registers.write32(entries.1 << 16 | entries.0, at: ControllerRegister.adminQueueAttributes)
        write64(admin.memory.submissions.iova.rawValue, at: ControllerRegister.adminSubmissionQueue)
        write64(admin.memory.completions.iova.rawValue, at: ControllerRegister.adminCompletionQueue)
        registers.writeReleasing32(configuration.rawValue, at: ControllerRegister.configuration)
        try wait(for: "the controller to become ready (CSTS.RDY = 1)", readyTimeout, evenIfFatal: wasFatal) {
            $0.isReady
        }
        isRunning = true
        try askForQueues()
    }

    /// Stops the controller, so that it does not access memory any more: by its enable bit, or otherwise by the end of
    /// its DMA and a reset of the function.
    ///
    /// - Throws: `.notStopped` when it may still access memory. After any other error it does not: `.gone`, and the
    ///   error that prevented a normal stop.
    mutating func stop() throws(NVMeError) {
        isRunning = false
        do throws(NVMeError) {
            try disable()
            isQuiet = true
        } catch .gone {
            // A function with memory decode disabled reads as all ones, too. If config space also fails, the device is
            // gone.
            try? quiet()
            isQuiet = true
            throw .gone
        } catch {
            var failure: NVMeError?
            do throws(NVMeError) { try quiet() } catch let second { failure = .notStopped("\(error); \(second)") }
            guard canReset else { throw failure ?? error }
            do throws(NVMeError) {
                try withDevice { (device) throws(VFIOError) in try device.reset() }
                try disable()
            } catch let last { throw failure ?? last }
            isQuiet = true
        }
    }

    /// Disables the controller's DMA (bus mastering), regardless of its state.
    private mutating func quiet() throws(NVMeError) {
        try withDevice { (device) throws(VFIOError) in try device.config.updateCommand { $0.remove(.busMaster) } }
        isQuiet = true
    }

    private func disable() throws(NVMeError) {
        let configuration = ControllerConfiguration(
            rawValue: registers.read32(at: ControllerRegister.configuration))
        try Self.check(registers)
        guard configuration.rawValue != .max else { throw .gone }
        registers.write32(configuration.disabled.rawValue, at: ControllerRegister.configuration)
        if quirks.contains(.delayBeforeReady) {
            usleep(UInt32(options.readyDelay / .microseconds(1)))
        }
        try wait(for: "the controller to stop (CSTS.RDY = 0)", readyTimeout, evenIfFatal: true) { !$0.isReady }
    }

    /// Shuts the controller down, so that it writes its caches back, and stops it even if that fails.
    ///
    /// - Throws: As ``stop()``, and the error of the shutdown.
    mutating func shutDown() throws(NVMeError) {
        var failure: NVMeError?
        if isRunning {
            do throws(NVMeError) { try askToShutDown() } catch { failure = error }
        }
        do throws(NVMeError) { try stop() } catch {
            // A controller that may still access memory is more severe than a failed shutdown.
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

    /// Closes the device. The memory is not freed, since the controller has not been stopped, and is only stopped with this
    /// if nobody else has the device open.
    consuming func abandon() throws(NVMeError) {
        admin.abandon()
        NVMe.abandon(answer)
        do throws(VFIOError) {
            try registers.close()
            try device.close()
        } catch { throw .vfio(error) }
    }

    /// Frees the controller's resources and closes the device. It must have been shut down before.
    consuming func close() throws(NVMeError) {
        guard isQuiet else { return try abandon() }
        var failure: NVMeError?
        do throws(NVMeError) { try admin.close() } catch { failure = error }
        do throws(VFIOError) { try answer.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try registers.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try device.close() } catch { failure = failure ?? .vfio(error) }
        if let failure { throw failure }
    }

    // MARK: Waiting

    private var readyTimeout: Duration {
        options.readyTimeout
            ?? capabilities.readyTimeout(crto: registers.read32(at: ControllerRegister.readyTimeouts))
    }

    /// The number of entries that an I/O queue can have.
    var queueEntryLimit: Int {
        if quirks.contains(.oneCommand) { return 2 }
        return capabilities.maximumQueueEntryCount > 1 ? capabilities.maximumQueueEntryCount : 64
    }

    private func wait(
        for subject: String, _ limit: Duration, evenIfFatal: Bool = false, until condition: (ControllerStatus) -> Bool
    ) throws(NVMeError) {
        // Bounded, so that no sum of durations overflows.
        let deadline = ContinuousClock.now + min(max(limit, .zero), .seconds(1 << 32))
        while true {
            // Read the clock before the check: a completion that arrived in time counts, even if this thread was
            // delayed.
            let now = ContinuousClock.now
            let status = ControllerStatus(rawValue: registers.read32(at: ControllerRegister.status))
            try Self.check(registers)
            if status.isGone { throw .gone }
            if condition(status) { return }
            if status.isFatal, !evenIfFatal { throw .fatalStatus }
            if now > deadline { throw .timeout(waitingFor: subject, limit: limit) }
            // The operation may take seconds, and each check is a register access.
            usleep(100)
        }
    }

    private static func check(_ registers: borrowing RegisterBank) throws(NVMeError) {
        do throws(VFIOError) { try registers.check() } catch { throw .vfio(error) }
    }

    func withDevice<Value: ~Copyable>(
        _ body: (borrowing Device) throws(VFIOError) -> Value
    ) throws(NVMeError) -> Value {
        try device.with(body)
    }

    // MARK: Admin commands

    /// Submits an admin command and waits for its completion.
    ///
    /// - Returns: Dword 0 of the completion.
    /// - Throws: `.status`. After any other error each further command throws that error, until the controller is
    ///   reset.
    @discardableResult
    mutating func execute(_ entry: SubmissionEntry, _ name: String) throws(NVMeError) -> UInt32 {
        guard isRunning else { throw .closed }
        if let stuckReason { throw stuckReason }
        // Its addresses are of memory that lives as long as the engine, or of a queue's.
        guard let command = unsafe admin.submit(entry) else { throw .closed }
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

    /// Requests the number of I/O queues (Set Features, Number of Queues: 5.21.1.7).
    private mutating func askForQueues() throws(NVMeError) {
        guard commandSet != .none else { return }
        let wanted = UInt64(min(max(options.queueCount, 1), 65534) - 1)
        let granted = try execute(
            SubmissionEntry(
                opcode: AdminCommand.setFeatures,
                dwords10And11: AdminCommand.numberOfQueues | (wanted << 16 | wanted) << 32),
            "Set Features (Number of Queues)")
        queueLimit = min(options.queueCount, Int(granted & 0xffff) + 1, Int(granted >> 16) + 1)
    }

    /// Reads one of the data structures that describe the controller (Identify).
    mutating func identify(_ what: UInt64, namespace: UInt32 = 0, _ name: String) throws(NVMeError) -> [UInt8] {
        try execute(
            SubmissionEntry(
                opcode: AdminCommand.identify, namespace: namespace, data: answer.iova.rawValue, dwords10And11: what),
            name)
        return answer.bytes(count: 4096)
    }

    /// The number of namespaces that are looked at one by one.
    private static let mostLookedAt: UInt32 = 4096

    /// Returns the numbers of the active namespaces.
    mutating func namespaceIDs(_ info: ControllerInfo) throws(NVMeError) -> [UInt32] {
        // The list is of version 1.1.
        let first: UInt32 = quirks.contains(.noNamespaceList) ? 0x1_0200 : 0x1_0100
        guard info.versionNumber >= first else { return try lookForNamespaces(info) }
        do throws(NVMeError) { return try listNamespaces(upTo: info.namespaceCount) } catch .status(
            let status, let command)
        {
            guard info.namespaceCount <= Self.mostLookedAt else { throw .status(status, command: command) }
            return try lookForNamespaces(info)
        }
    }

    /// The number of namespaces that are listed: those of 64 commands.
    private static let mostListed = 65536

    /// - Parameter greatest: The greatest number that a namespace of the controller has.
    private mutating func listNamespaces(upTo greatest: UInt32) throws(NVMeError) -> [UInt32] {
        var found: [UInt32] = []
        while found.count < Self.mostListed {
            let bytes = try identify(
                AdminCommand.Identify.activeNamespaces, namespace: found.last ?? 0, "Identify (active namespaces)")
            let numbers = stride(from: 0, to: 4096, by: 4).map { offset in
                (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
            }
            for number in numbers {
                if number == 0 { return found }
                guard number > found.last ?? 0 else {
                    throw .protocolViolation("namespace \(number) after \(found.last ?? 0) in the list of namespaces")
                }
                guard number <= greatest else {
                    throw .protocolViolation(
                        "namespace \(number) in the list of namespaces, of which the greatest is \(greatest)")
                }
                found.append(number)
            }
            // Also the greatest number that a namespace can have.
            if found.last! >= min(greatest, 0xffff_fffe) { return found }
        }
        throw .unsupported("a list of more than \(Self.mostListed) active namespaces")
    }

    private mutating func lookForNamespaces(_ info: ControllerInfo) throws(NVMeError) -> [UInt32] {
        guard info.namespaceCount <= Self.mostLookedAt else {
            throw .unsupported(
                "a search among \(info.namespaceCount) namespaces without a list of those that are active")
        }
        var found: [UInt32] = []
        for id in 0..<info.namespaceCount {
            do throws(NVMeError) {
                let bytes = try identify(
                    AdminCommand.Identify.namespace, namespace: id + 1, "Identify (namespace \(id + 1))")
                // The size of an inactive one is 0.
                if bytes[..<8].contains(where: { $0 != 0 }) { found.append(id + 1) }
            } catch .status(let status, _) where status.matches(.invalidNamespace) || status.matches(.invalidField) {
                // None of this number.
            } catch .status {
                // There is one, and whoever uses it is told.
                found.append(id + 1)
            }
        }
        return found
    }

    /// Reads the description of a namespace (Identify, CNS 0), after a check of its command set.
    mutating func identifyNamespace(_ id: UInt32) throws(NVMeError) -> [UInt8] {
        if commandSet == .ofNamespaces {
            do throws(NVMeError) {
                let list = try identify(
                    AdminCommand.Identify.namespaceDescriptors, namespace: id,
                    "Identify (descriptors of namespace \(id))")
                if let number = Namespace.commandSet(inDescriptors: list), number != 0 {
                    throw .unsupported("command set \(number), which namespace \(id) has")
                }
            } catch .status {
                // There are controllers without this list. The next command finds what is wrong otherwise.
            }
        }
        return try identify(AdminCommand.Identify.namespace, namespace: id, "Identify (namespace \(id))")
    }

    /// Aborts a command (Abort: 5.1).
    ///
    /// - Returns: Whether the controller has aborted it; otherwise the command completes by itself, or never.
    mutating func abort(_ identifier: UInt16, of queue: UInt16) throws(NVMeError) -> Bool {
        let answer = try execute(
            SubmissionEntry(
                opcode: AdminCommand.abort, dwords10And11: UInt64(identifier) << 16 | UInt64(queue)),
            "Abort")
        return answer & 1 == 0
    }

    /// Creates a queue pair at the controller (Create I/O Completion Queue, Create I/O Submission Queue: 5.3, 5.4).
    ///
    /// - Throws: With ``isStuck`` set when the controller may have created one of the queues, so that it must be reset
    ///   before the memory is freed.
    mutating func createQueue(_ id: UInt16, _ memory: borrowing QueueMemory, vector: Int?) throws(NVMeError) {
        let number = UInt64(id)
        let interrupt = vector.map { UInt64($0) << 16 | 1 << 1 } ?? 0
        // Only looked at with weighted round-robin arbitration, but for a bug of some controllers. 2 is "medium".
        let priority: UInt64 = quirks.contains(.mediumPriority) ? 2 : 0
        try execute(
            SubmissionEntry(
                opcode: AdminCommand.createCompletionQueue, data: memory.completions.iova.rawValue,
                dwords10And11: UInt64(memory.completionEntryCount - 1) << 16 | number | (interrupt | 1) << 32),
            "Create I/O Completion Queue \(id)")
        do throws(NVMeError) {
            try execute(
                SubmissionEntry(
                    opcode: AdminCommand.createSubmissionQueue, data: memory.submissions.iova.rawValue,
                    dwords10And11: UInt64(memory.submissionEntryCount - 1) << 16 | number
                        | (number << 16 | priority << 1 | 1) << 32),
                "Create I/O Submission Queue \(id)")
        } catch {
            // If the request was refused, the completion queue can be deleted. Otherwise the admin queue is stuck.
            do throws(NVMeError) {
                try deleteCompletionQueue(id)
            } catch let second {
                stuckReason = stuckReason ?? second
            }
            throw error
        }
    }

    /// Deletes a queue pair at the controller; commands in flight end.
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
