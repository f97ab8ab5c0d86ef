internal import VFIO

extension QueuePair {
    /// Waits for the next completion and returns it, by polling or by sleeping until the queue's interrupt.
    ///
    /// Rings the doorbell for all submitted commands.
    ///
    /// - Throws: `.invalidArgument` when no command is in flight, and as ``check()``. After an error other than that
    ///   one call ``recover()``, which ends all commands.
    public mutating func waitForCompletion() throws(NVMeError) -> Completion {
        ring()
        while true {
            // Polling a few times is cheaper than a system call.
            for _ in 0..<256 {
                if let completion = nextCompletion() { return completion }
            }
            guard inFlightCount > 0 else { throw .invalidArgument("no command is in flight, so none can complete") }
            try check()
            try sleep()
        }
    }

    /// Sleeps until the interrupt arrives, or the next check is due.
    private mutating func sleep() throws(NVMeError) {
        guard let interrupt else { return }
        let turn = interrupt.turn
        // Without this the controller may delay the interrupt.
        acknowledge()
        guard !hasCompletion else { return }
        do throws(VFIOError) { try interrupt.wait(turn: turn, timeout: watch.limit / 8) } catch { throw .vfio(error) }
    }

    /// Checks the state of the queue and the controller. Callers that poll with ``nextCompletion()`` call it when no
    /// completion arrives for some time. It reads the clock, and periodically a register.
    ///
    /// - Throws: `.timeout` when a command has been in flight for longer than ``commandTimeout``, detected after at
    ///   most twice that time; `.gone`, `.fatalStatus`, `.reset`, `.protocolViolation`, and `.vfio` with an error of
    ///   the kernel.
    public mutating func check() throws(NVMeError) {
        try registration.check()
        guard strayCount == 0 else {
            throw .protocolViolation("\(strayCount) completions in queue \(id) for commands that were not in flight")
        }
        let now = ContinuousClock.now
        let isLate =
            watch.isDue(now: now)
            && watch.isLate(oldest: slots.oldestSubmission, count: slots.submissionCount, now: now)
        if watch.isTimeToLook(now: now) || isLate {
            let status = ControllerStatus(rawValue: registers.read32(at: ControllerRegister.status))
            do throws(VFIOError) { try registers.check() } catch { throw .vfio(error) }
            if status.isGone { throw .gone }
            if status.isFatal { throw .fatalStatus }
            if !status.isReady {
                // Another thread is stopping the controller, or has stopped it. Wait until it has finished to learn the
                // reason.
                registration.core?.waitForTurn()
                try registration.check()
                throw .reset
            }
        }
        // The completion may have arrived while this thread was not scheduled.
        if isLate, !hasCompletion {
            throw .timeout(waitingFor: "a completion in queue \(id)", limit: watch.limit)
        }
    }

    /// Aborts a command in flight. It completes in any case, with ``CommandStatus/abortRequested`` or normally.
    ///
    /// A controller need not support it, and QEMU's never aborts a command; use ``recover()`` then.
    ///
    /// - Returns: Whether the controller has aborted the command.
    /// - Throws: `.invalidArgument` when the command is not in flight.
    public mutating func abort(_ command: CommandID) throws(NVMeError) -> Bool {
        guard let core = registration.core else {
            throw .invalidArgument("the queue was put together from parts, so there is no controller to ask")
        }
        guard slots.isInFlight(command.rawValue) else {
            throw .invalidArgument("command \(command.rawValue) of queue \(id) is not in flight")
        }
        try registration.check()
        ring()
        let (id, identifier) = (id, slots.identifier(of: command.rawValue))
        return try core.withEngine { (engine) throws(NVMeError) in try engine.abort(identifier, of: id) }
    }

    /// Resets the controller and creates the queue again, after an error of ``waitForCompletion()`` or ``check()``.
    ///
    /// All commands in flight complete, and are returned by ``nextCompletion()``: with their own completion if it has
    /// arrived, otherwise with ``CommandStatus/aborted``. The controller does not access their memory any more. Whether
    /// they were executed is unknown.
    ///
    /// The controller's other queues detect this in their ``check()``, which throws `.reset`, and must recover as well;
    /// the controller is reset once for all of them.
    ///
    /// - Throws: The error that prevented the controller from starting again, such as `.gone`. The commands have
    ///   completed anyway, and the call can be repeated. `.notStopped` when the controller may still access their
    ///   memory: then they stay in flight. `.closed` when the controller has been closed.
    public mutating func recover() throws(NVMeError) {
        guard let core = registration.core else {
            throw .invalidArgument("the queue was put together from parts, so there is no controller to reset")
        }
        var failure: NVMeError?
        do throws(NVMeError) {
            try core.reset(from: registration.epoch)
        } catch {
            failure = error
        }
        // Not while the controller may still access their memory.
        if registration.isOutdated { endAll() }
        if let failure { throw failure }
        do throws(NVMeError) {
            try connect(core)
        } catch .reset, .fatalStatus, .timeout, .adminTimeout {
            // The controller has failed again since another queue's owner reset it, or fails now.
            try core.reset(from: registration.epoch)
            try connect(core)
        }
    }

    private mutating func connect(_ core: ControllerCore) throws(NVMeError) {
        let life = core.currentEpoch
        do throws(NVMeError) {
            registration.epoch = try core.connectQueue(id, memory, vector: interrupt?.number)
        } catch {
            // Whether the queue exists at the controller is unknown. The next attempt must begin with a reset.
            registration.epoch = life
            throw error
        }
    }

    /// Completes all commands, and initialises the rings. The queue no longer exists at the controller.
    mutating func endAll() {
        // Entries that the controller wrote before it stopped are valid.
        while memory.completions.readAcquiring32(at: head &<< 4 &+ 12) & (1 << 16) == phase {
            let offset = head &<< 4
            let word = memory.completions.read32(at: offset &+ 12)
            if let slot = slots.slot(of: UInt16(truncatingIfNeeded: word)) {
                slots.end(
                    Completion(
                        command: CommandID(rawValue: slot), status: CommandStatus(rawValue: UInt16(word >> 17)),
                        result: memory.completions.read32(at: offset)))
            }
            head &+= 1
            if head == memory.completionEntryCount {
                head = 0
                phase ^= 1 << 16
            }
        }
        slots.endAll(.aborted)
        for offset in stride(from: 0, to: memory.completionEntryCount << 4, by: 8) {
            memory.completions.write64(0, at: offset)
        }
        (tail, rungTail, head, phase, unacknowledged, strayCount) = (0, 0, 0, 1 << 16, 0, 0)
    }
}
