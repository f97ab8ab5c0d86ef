import VFIO

extension NVMeModel {
    /// An occasion for a fault.
    enum Occasion {
        case command(Command, queue: Int)
        case enable, disable, shutdown
    }

    struct PlannedFault {
        var fault: NVMeFault
        var match: NVMeFault.Match
        var skipping: Int
        var count: Int
    }

    /// A command that a fault holds.
    public struct HeldCommand: Sendable {
        /// Its submission queue.
        public let queue: Int
        public let identifier: UInt16
        public let opcode: UInt8
        /// Whether it was executed already.
        public var isExecuted: Bool { completion != nil }

        let command: Command
        let completion: Completion?
    }

    // MARK: Planning

    /// Plans a fault.
    ///
    /// ```swift
    /// disk.inject(.loseCommand)                                         // the next command of an I/O queue
    /// disk.inject(.fail(.unrecoveredReadError), on: .io(2, blocks: 8..<16), count: .max)  // a bad spot
    /// disk.inject(.holdCompletion, on: .io(1), skipping: 2, count: 3)   // the third to the fifth write from now
    /// disk.inject(.staysDisabled)                                       // the next CC.EN = 1
    /// ```
    /// Each plan counts the commands that it skips by itself. When several plans are due at a command, the one planned
    /// first happens, and the others wait for the next command. Each command is compared with all plans.
    ///
    /// - Parameters:
    ///   - fault: The fault.
    ///   - match: The commands; ignored for faults of the controller.
    ///   - skipping: The number of such commands that pass first.
    ///   - count: The number of times it then happens.
    public mutating func inject(
        _ fault: NVMeFault, on match: NVMeFault.Match = .io, skipping: Int = 0, count: Int = 1
    ) {
        precondition(skipping >= 0 && count > 0, "a fault happens at least once")
        faults.append(PlannedFault(fault: fault, match: match, skipping: skipping, count: count))
    }

    /// The number of plans that are not complete.
    public var pendingFaultCount: Int { faults.count }

    /// Removes the planned faults.
    public mutating func clearFaults() { faults = [] }

    /// Returns the fault that is due at an occasion, which all plans count.
    mutating func takeFault(_ occasion: Occasion) -> NVMeFault? {
        var due: Int?
        for index in faults.indices where Self.matches(faults[index], occasion) {
            if faults[index].skipping > 0 {
                faults[index].skipping -= 1
            } else if due == nil {
                due = index
            }
        }
        guard let due else { return nil }
        let fault = faults[due].fault
        faults[due].count -= 1
        if faults[due].count == 0 { faults.remove(at: due) }
        faultCount += 1
        faultCounts[fault, default: 0] += 1
        return fault
    }

    private static func matches(_ plan: PlannedFault, _ occasion: Occasion) -> Bool {
        switch (plan.fault, occasion) {
        case (.staysDisabled, .enable), (.staysReady, .disable), (.neverShutsDown, .shutdown): return true
        case (.staysDisabled, _), (.staysReady, _), (.neverShutsDown, _): return false
        case (_, .command(let command, let queue)):
            let match = plan.match
            return (match.queue ?? queue) == queue && (match.isAdmin ?? (queue == 0)) == (queue == 0)
                && (match.opcode ?? command.opcode) == command.opcode
                && (match.blocks?.contains(command.firstBlock) ?? true)
        default: return false
        }
    }

    // MARK: Effects

    mutating func suffer(_ fault: NVMeFault, _ command: Command, _ queue: Int, _ bus: borrowing MockBus) {
        func held(_ completion: Completion?) -> HeldCommand {
            HeldCommand(
                queue: queue, identifier: command.identifier, opcode: command.opcode, command: command,
                completion: completion)
        }
        switch fault {
        case .loseCommand: return
        case .holdCommand: return heldCommands.append(held(nil))
        case .fail(let status):
            return complete(
                Completion(submissionQueue: queue, identifier: command.identifier, status: status), bus)
        case .becomeFatal: return becomeFatal()
        case .resetController: return reset(bus: bus)
        case .remove: return remove(bus: bus)
        default: break
        }
        isCorrupting = fault == .corruptData
        let result = execute(command, queue, bus)
        isCorrupting = false
        guard var completion = result else { return }
        switch fault {
        case .loseCompletion: return
        case .holdCompletion: return heldCommands.append(held(completion))
        case .changeIdentifier(let identifier): completion.identifier = identifier
        case .duplicateCompletion: complete(completion, bus)
        case .loseInterrupt: completion.raisesInterrupt = false
        default: break
        }
        complete(completion, bus)
    }

    // MARK: Immediate faults

    /// Releases a held command: executes it if necessary, and completes it.
    ///
    /// - Parameters:
    ///   - index: Its index in ``heldCommands``. Any order is possible, for completions out of order.
    ///   - bus: The bus of the device.
    public mutating func release(_ index: Int, bus: borrowing MockBus) {
        let held = heldCommands.remove(at: index)
        finish(held, bus)
        sendInterrupts(bus)
    }

    /// Releases all held commands in the order of their submission.
    public mutating func releaseAll(bus: borrowing MockBus) {
        let all = heldCommands
        heldCommands = []
        for held in all { finish(held, bus) }
        sendInterrupts(bus)
    }

    private mutating func finish(_ held: HeldCommand, _ bus: borrowing MockBus) {
        guard isServing else { return }
        if let completion = held.completion ?? execute(held.command, held.queue, bus) { complete(completion, bus) }
    }

    /// Sets `CSTS.CFS`: nothing is executed or completed until a reset.
    public mutating func becomeFatal() { registers.isFatal = true }

    /// Removes the device: its registers read as ones, and it does no DMA and raises no interrupt any more.
    public mutating func remove(bus: borrowing MockBus) {
        resetController(bus)
        isRemoved = true
    }

    /// Sends an interrupt without a cause; it is lost while MSI-X is off.
    public func raiseSpuriousInterrupt(vector: Int, bus: borrowing MockBus) { bus.raiseMSIX(vector: vector) }

    /// Posts a completion for a command that was not submitted, or has completed already.
    ///
    /// - Parameters:
    ///   - identifier: The command identifier.
    ///   - queue: The submission queue, which must exist.
    ///   - status: The status.
    ///   - bus: The bus of the device.
    public mutating func postStrayCompletion(
        identifier: UInt16, queue: Int, status: Status = .success, bus: borrowing MockBus
    ) {
        guard isServing else { return }
        complete(Completion(submissionQueue: queue, identifier: identifier, status: status), bus)
        sendInterrupts(bus)
    }
}
