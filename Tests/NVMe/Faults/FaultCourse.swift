/// A disk that goes wrong, a driver at work on it, and a record of what the driver was told.
struct FaultCourse {
    /// A command in flight.
    private struct Request {
        var isWrite: Bool
        var block: UInt64
        var count: Int
        /// Where its data is in the buffer, in units of a page.
        var page: Int
        var stamp: UInt64
    }

    static let address: PCIAddress = "0000:00:04.0"
    static let depth = 20
    private static let blockCount: UInt64 = 512
    /// What no block holds: a read that ended with that in its memory was not done.
    private static let nothing: UInt64 = 0x5555_5555_5555_5555

    let machine = MockMachine()
    let namespace = Namespace(id: 1, blockCount: blockCount, blockSize: 512)
    private var random: SplitMix64
    private var inFlight: [CommandID: Request] = [:]
    private var freePages = Array(0..<depth)
    /// What each block may hold, by what is known of the writes to it.
    private var contents: [UInt64: Set<UInt64>] = [:]
    private var nextStamp: UInt64 = 1
    /// What commands of earlier rounds were called on their way.
    private var oldIdentifiers: [UInt16] = [0xffff]
    /// Data may be inverted on its way in this round.
    private var isCorrupting = false

    /// How often each error was thrown, by its name.
    private(set) var errors: [String: Int] = [:]
    private(set) var submittedCount = 0
    /// Commands that completed with success, with an error of the controller's, and with an end of their controller.
    private(set) var successCount = 0
    private(set) var failureCount = 0
    private(set) var abortedCount = 0
    private(set) var recoveryCount = 0
    /// Held commands that were let go: nothing went wrong with them but the order.
    private(set) var releasedCommandCount = 0
    private(set) var releasedCompletionCount = 0
    /// How often the controller was enabled when the commands in flight were submitted.
    private var enableCount = 0

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        machine.plug(NVMeModel(blockCount: Self.blockCount), at: Self.address)
    }

    func withModel<Result: Sendable>(_ body: (inout NVMeModel, borrowing MockBus) -> Result) -> Result {
        machine.withDevice(NVMeModel.self, at: Self.address, body)
    }

    // Whoever is found late by mistake, on a machine that is busy, is recovered from like any other.
    static let options = ControllerOptions.impatient(.milliseconds(2), queueCount: 2)

    // MARK: A round

    /// Fills the queue with commands, lets something go wrong, and takes all completions.
    mutating func round(_ plan: FaultPlan, _ queue: inout QueuePair, _ buffer: borrowing DMABuffer) {
        isCorrupting = plan.fault == .corruptData
        let skipping = plan.befallsAll ? 0 : Int.random(in: 0..<Self.depth / 2, using: &random)
        let count = plan.befallsAll ? Self.depth : [1, 1, 1, 4].randomElement(using: &random)!
        withModel { model, _ in
            model.clearFaults()
            if let fault = plan.fault {
                // What ends the controller's life happens once.
                let isOnce = fault == .becomeFatal || fault == .resetController || fault == .remove
                model.inject(fault, on: plan.match, skipping: skipping, count: isOnce ? 1 : count)
            }
            if let fault = plan.nextFault { model.inject(fault, on: plan.nextMatch) }
        }
        enableCount = withModel { model, _ in model.statistics.enableCount }
        submitAll(&queue, buffer)
        switch plan.outside {
        case .nothing: break
        case .reset: withModel { model, bus in model.reset(bus: bus) }
        case .strayCompletion:
            // Of a command that was in the same slot of the queue, perhaps.
            let identifier = oldIdentifiers.randomElement(using: &random)!
            withModel { model, bus in model.postStrayCompletion(identifier: identifier, queue: 1, bus: bus) }
        case .spuriousInterrupt:
            withModel { model, bus in model.raiseSpuriousInterrupt(vector: 1, bus: bus) }
        }
        let held = withModel { model, _ in model.heldCommands.map(\.identifier) }
        if !held.isEmpty { oldIdentifiers = held }
        while !inFlight.isEmpty {
            if plan.releases { releaseIfNothingElseComes() }
            do throws(NVMeError) { take(try queue.waitForCompletion(), buffer) } catch {
                note(error)
                // The disk is gone for good: what there was has ended, and that is all.
                if !recover(&queue, buffer) { return }
            }
        }
        // A completion too many may still be there.
        takeAll(&queue, buffer)
        do throws(NVMeError) { try queue.check() } catch {
            note(error)
            _ = recover(&queue, buffer)
        }
        #expect(queue.inFlightCount == 0)
    }

    private mutating func submitAll(_ queue: inout QueuePair, _ buffer: borrowing DMABuffer) {
        // Each to blocks of its own, or nobody knows which came first.
        var groups = Array(0..<Self.blockCount / 8)
        groups.shuffle(using: &random)
        while let group = groups.popLast(), let page = freePages.last {
            let count = Int.random(in: 1...8, using: &random)
            let request = Request(
                isWrite: Bool.random(using: &random), block: group * 8, count: count, page: page, stamp: nextStamp)
            for block in 0..<count {
                // The ends of each block tell where all of it came from.
                for offset in [page * 4096 + block * 512, page * 4096 + block * 512 + 504] {
                    buffer.write64(request.isWrite ? request.stamp + UInt64(block) : Self.nothing, at: offset)
                }
            }
            let command =
                request.isWrite
                ? queue.submitWrite(
                    of: namespace, at: request.block, count: count, from: buffer, offset: page * 4096, ringing: false)
                : queue.submitRead(
                    of: namespace, at: request.block, count: count, into: buffer, offset: page * 4096, ringing: false)
            guard let command else { break }
            nextStamp += 8
            freePages.removeLast()
            submittedCount += 1
            #expect(inFlight.updateValue(request, forKey: command) == nil, "two commands have one identifier")
        }
        queue.ring()
    }

    /// Lets one of the held commands go when those are all that there are: out of order, by that.
    private mutating func releaseIfNothingElseComes() {
        var random = self.random
        let expected = inFlight.count
        let isExecuted = withModel { model, bus -> Bool? in
            guard model.heldCommands.count == expected else { return nil }
            let index = Int.random(in: 0..<expected, using: &random)
            defer { model.release(index, bus: bus) }
            return model.heldCommands[index].isExecuted
        }
        if isExecuted == true { releasedCompletionCount += 1 }
        if isExecuted == false { releasedCommandCount += 1 }
        self.random = random
    }

    // MARK: Ends

    /// Recovers the queue, however often that takes, and takes what has ended by it.
    ///
    /// - Returns: Whether it works again; not when the disk is gone.
    private mutating func recover(_ queue: inout QueuePair, _ buffer: borrowing DMABuffer) -> Bool {
        recoveryCount += 1
        for _ in 0..<10 {
            do throws(NVMeError) {
                try queue.recover()
                takeAll(&queue, buffer)
                #expect(inFlight.isEmpty, "a recovery ends all commands")
                return true
            } catch {
                note(error)
                takeAll(&queue, buffer)
                if error == .gone { break }
            }
        }
        #expect(inFlight.isEmpty, "a recovery ends all commands, even one that fails")
        if errors["gone"] == nil { Issue.record("it did not recover: \(errors)") }
        return false
    }

    private mutating func takeAll(_ queue: inout QueuePair, _ buffer: borrowing DMABuffer) {
        while let completion = queue.nextCompletion() { take(completion, buffer) }
    }

    private mutating func take(_ completion: NVMe.Completion, _ buffer: borrowing DMABuffer) {
        guard let request = inFlight.removeValue(forKey: completion.command) else {
            Issue.record("a completion of a command that was not in flight: \(completion)")
            return
        }
        freePages.append(request.page)
        if completion.status.isSuccess {
            successCount += 1
        } else if completion.status == .aborted {
            abortedCount += 1
            let before = enableCount
            let isSafe = withModel { model, bus in
                model.isRemoved || model.statistics.enableCount > before || !bus.isMaster
                    || model.read(bar: 0, at: 0x14, width: 4, bus: bus) & 1 == 0
            }
            #expect(isSafe, "a command is said to have ended that the controller still has")
        } else {
            failureCount += 1
        }
        for index in 0..<request.count {
            let block = request.block + UInt64(index)
            let known = contents[block, default: [0]]
            if request.isWrite {
                let stamp = request.stamp + UInt64(index)
                var possible: Set<UInt64> = isCorrupting ? [stamp, ~stamp] : [stamp]
                // One that failed, or of which nothing is known, has been done or not.
                if !completion.status.isSuccess { possible.formUnion(known) }
                contents[block] = possible
            } else if completion.status.isSuccess {
                let offset = request.page * 4096 + index * 512
                let (first, last) = (buffer.read64(at: offset), buffer.read64(at: offset + 504))
                #expect(first == last)
                #expect(known.contains(first) || (isCorrupting && known.contains(~first)))
                // It stays what it was seen to be.
                if !isCorrupting { contents[block] = [first] }
            }
        }
    }

    private mutating func note(_ error: NVMeError) { errors[Self.name(error), default: 0] += 1 }

    private static func name(_ error: NVMeError) -> String {
        switch error {
        case .vfio: "vfio"
        case .status: "status"
        case .timeout: "timeout"
        case .adminTimeout: "admin timeout"
        case .notStopped: "not stopped"
        case .gone: "gone"
        case .fatalStatus: "fatal"
        case .reset: "reset"
        case .closed: "closed"
        case .protocolViolation: "protocol"
        default: "\(error)"
        }
    }
}
