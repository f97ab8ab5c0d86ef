internal import VFIO

extension QueuePair {
    /// Takes the next completion, and waits for it: by polling, or asleep until the queue's interrupt comes.
    ///
    /// The controller is told of all commands that were submitted.
    ///
    /// - Throws: `.invalidArgument` when no command is in flight, and as ``check()``. After an error other than that one
    ///   ``recover()`` is in order, which ends all commands.
    public mutating func waitForCompletion() throws(NVMeError) -> Completion {
        ring()
        while true {
            // Short of a system call, nothing is cheaper than to look again.
            for _ in 0..<256 {
                if let completion = nextCompletion() { return completion }
            }
            guard inFlightCount > 0 else { throw .invalidArgument("no command is in flight, so none can complete") }
            try check()
            try sleep()
        }
    }

    /// Sleeps until the interrupt comes, or it is time to see whether all is well.
    private mutating func sleep() throws(NVMeError) {
        guard hasInterrupt else { return }
        // Until then the controller may hold back the interrupt.
        acknowledge()
        guard !hasCompletion else { return }
        do throws(VFIOError) {
            switch vector {
            case .some(let vector): try vector.wait(timeout: watch.limit / 8)
            case .none: break
            }
        } catch {
            throw .vfio(error)
        }
    }

    /// Looks whether all is well with the queue and the controller: for who polls with ``nextCompletion()`` and finds
    /// nothing for long. It looks at the clock, and now and then at a register.
    ///
    /// - Throws: `.timeout` when a command has been in flight for longer than ``commandTimeout``, found at the latest
    ///   after twice that time; `.gone`, `.fatalStatus`, `.reset`, `.protocolViolation`, and `.vfio` with what the kernel
    ///   refused.
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
                // Somebody is stopping it, or has. What for is known when that is done.
                registration.core?.waitForTurn()
                try registration.check()
                throw .reset
            }
        }
        // It may have come while nobody looked: a thread can be kept from running for long.
        if isLate, !hasCompletion {
            throw .timeout(waitingFor: "a completion in queue \(id)", limit: watch.limit)
        }
    }

    /// Asks the controller to end a command that is in flight (Abort). It completes in any case, with
    /// ``CommandStatus/abortRequested`` or as it would have.
    ///
    /// A controller need not do it, and QEMU's never does: then ``recover()`` is what is left.
    ///
    /// - Returns: Whether the controller has ended it.
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

    /// Resets the controller and makes the queue anew, after an error of ``waitForCompletion()`` or ``check()``.
    ///
    /// The commands that were in flight complete now, for ``nextCompletion()`` to take: those whose completion had come
    /// with that, all others with ``CommandStatus/aborted``. The controller reaches for none of their memory any more.
    /// Whether they were carried out is not known.
    ///
    /// The other queues of the controller find out in their ``check()``, with `.reset`, and recover in turn; the
    /// controller is reset once for all of them.
    ///
    /// - Throws: What kept the controller from coming up again, such as `.gone`. The commands have completed all the
    ///   same, and it can be tried again. `.notStopped` when the controller may still reach for their memory: then they
    ///   stay in flight. `.closed` when there is no controller any more.
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
        // Not while the controller may still reach for their memory.
        if registration.isOutdated { endAll() }
        if let failure { throw failure }
        do throws(NVMeError) {
            try connect(core)
        } catch .reset, .fatalStatus, .timeout, .adminTimeout {
            // It has failed again since another queue's owner has reset it, or fails now.
            try core.reset(from: registration.epoch)
            try connect(core)
        }
    }

    private mutating func connect(_ core: ControllerCore) throws(NVMeError) {
        let life = core.currentEpoch
        do throws(NVMeError) {
            registration.epoch = try core.connectQueue(id, memory, vector: hasInterrupt ? Int(id) : nil)
        } catch {
            // How much of the queue the controller knows now is unknown. The next attempt is to begin with a reset.
            registration.epoch = life
            throw error
        }
    }

    /// Ends all commands, and makes the rings as they were at first. The controller no longer knows of them.
    mutating func endAll() {
        // What the controller has written before it stopped is the truth.
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
