internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    /// Assigns the lines' events to their vectors: to all of them, or to none.
    ///
    /// - Parameter limit: The number of vectors of the device, if the kernel cannot extend the set that is on.
    func enable(
        _ index: InterruptIndex, _ lines: [InterruptLine], limit: UInt32?, operation: String
    ) throws(VFIOError) {
        let subject = "\(index) of \(address)"
        let events = Dictionary(uniqueKeysWithValues: lines.map { ($0.vector, $0.event) })
        guard let end = events.keys.max().map({ $0 + 1 }) else { return }
        // Kept beyond the lock: the end of the last reference to a line takes it.
        var losers: [any VectorOwner] = []
        defer { withExtendedLifetime(losers) {} }
        try state.withLock { (state) throws(VFIOError) in
            if let taken = events.keys.sorted().first(where: { state.interrupts[index, $0] != nil }) {
                throw VFIOError(.busy, operation, subject, hint: "vector \(taken) is on already")
            }
            if let other = state.interrupts.conflict(with: index) {
                throw VFIOError(
                    .busy, operation, subject, hint: "\(other) is on, and a device uses one kind at a time")
            }
            let allocated = state.interrupts.allocated[index] ?? 0
            var room = max(allocated, end)
            var loss: String?
            do throws(Errno) {
                if let limit, state.interrupts.isOn(index), end > allocated {
                    // The kernel cannot extend the set: switch all off, then on again with the new vectors. With twice
                    // as many, since each time costs as much as there are; vectors without an event stay off. A device
                    // may spread its MSIs over all that it is given, so that they get no more.
                    if index == .msix { room = max(end, min(allocated &* 2, limit)) }
                    let old = (0..<room).map { state.interrupts[index, $0] }
                    let grown = old.enumerated().map { $1 ?? events[UInt32($0)] }
                    try disableAll(index)
                    do throws(Errno) {
                        do throws(Errno) {
                            try setEvents(index, start: 0, grown)
                        } catch .noSpace where room > end {
                            room = end
                            try setEvents(index, start: 0, Array(grown[..<Int(end)]))
                        }
                    } catch {
                        // Restore the previous vectors. If that fails too, none is on: the table records that, and
                        // their owners are told.
                        do throws(Errno) {
                            try setEvents(index, start: 0, Array(old[..<Int(allocated)]))
                        } catch {
                            losers = state.interrupts.removeAll(index)
                            for owner in losers { owner.vectorWasLost(error) }
                            loss =
                                "the vectors that were on had to go off for it, and the kernel refused to switch them "
                                + "on again: \(error) (\(error.symbol))"
                        }
                        throw error
                    }
                } else {
                    try addEvents(index, events) { state.interrupts[index, $0] != nil }
                }
            } catch {
                let shortage = "the host has fewer vectors left for the device"
                let hints = [error == .noSpace ? shortage : nil, loss].compactMap { $0 }
                throw VFIOError(
                    error == .noSpace ? .limit : .kernel, operation, subject, errno: error,
                    hint: hints.isEmpty ? nil : hints.joined(separator: "; "))
            }
            for line in lines { state.interrupts.insert(index, line.vector, line) }
            state.interrupts.allocated[index] = room
        }
    }

    /// Assigns events to vectors without changing those that are on, with one call per contiguous range between them.
    ///
    /// - Parameter isOn: Whether a vector is on.
    private func addEvents(
        _ index: InterruptIndex, _ events: [UInt32: FileDescriptor], beside isOn: (UInt32) -> Bool
    ) throws(Errno) {
        var stretches: [[UInt32]] = []
        for vector in events.keys.sorted() {
            if let last = stretches.last?.last, !(last..<vector).contains(where: isOn) {
                stretches[stretches.count - 1].append(vector)
            } else {
                stretches.append([vector])
            }
        }
        for (done, stretch) in stretches.enumerated() {
            do throws(Errno) {
                try setEvents(index, start: stretch[0], (stretch[0]...stretch[stretch.count - 1]).map { events[$0] })
            } catch {
                // The kernel undoes the failed call itself; the calls before it are undone here.
                for vector in stretches[..<done].joined() { try? setEvents(index, start: vector, [nil]) }
                throw error
            }
        }
    }

    /// Removes the events of lines that still own their vectors, and disables the interrupt type with its last vector.
    func disable(_ index: InterruptIndex, _ lines: [InterruptLine]) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            let on = lines.filter { state.interrupts.isOn(index, $0.vector, of: $0) }.map(\.vector)
            guard !on.isEmpty else { return }
            for vector in on { state.interrupts.remove(index, vector) }
            var failure: Errno?
            if state.interrupts.isOn(index) {
                // A failure for one vector must not leave the others on.
                for vector in on {
                    do throws(Errno) { try setEvents(index, start: vector, [nil]) } catch { failure = failure ?? error }
                }
            } else {
                state.interrupts.allocated[index] = nil
                do throws(Errno) { try disableAll(index) } catch { failure = error }
            }
            if let failure {
                throw VFIOError(
                    refused: failure, ABI.Call.setIRQs.operation("disable \(Self.name(on))"), "\(index) of \(address)")
            }
        }
    }

    /// Masks a line's vector, unmasks it, or raises its interrupt from software.
    func setIRQAction(_ action: ABI.IRQAction, _ line: InterruptLine) throws(VFIOError) {
        let words = "\(action) vector \(line.vector)"
        try whileOn(line.index, [line], ABI.Call.setIRQs.operation(words)) { () throws(VFIOError) in
            try ABI.setIRQs(action, line.index.rawValue, from: line.vector, count: 1).perform(
                on: self, words, "\(line.index) of \(address)")
        }
    }

    /// Raises the interrupts of some lines of one type from software, in one call.
    func trigger(_ index: InterruptIndex, _ lines: [InterruptLine]) throws(VFIOError) {
        let vectors = lines.map(\.vector)
        guard let first = vectors.min(), let last = vectors.max() else { return }
        let wanted = Set(vectors)
        let words = "trigger \(Self.name(vectors))"
        try whileOn(index, lines, ABI.Call.setIRQs.operation(words)) { () throws(VFIOError) in
            try ABI.setIRQs(.trigger, index.rawValue, from: first, .chosen((first...last).map(wanted.contains)))
                .perform(on: self, words, "\(index) of \(address)")
        }
    }

    /// Makes an event unmask a line's vector each time it is signalled.
    func setUnmaskEvent(_ line: InterruptLine, _ event: FileDescriptor) throws(VFIOError) {
        let words = "let an event unmask vector \(line.vector)"
        try whileOn(line.index, [line], ABI.Call.setIRQs.operation(words)) { () throws(VFIOError) in
            try ABI.setIRQs(.unmask, line.index.rawValue, from: line.vector, .events([event])).perform(
                on: self, words, "\(line.index) of \(address)")
        }
    }

    /// Makes a request by the numbers of vectors, while these lines are their owners.
    ///
    /// - Parameter operation: For the error, with the request.
    func whileOn(
        _ index: InterruptIndex, _ lines: [InterruptLine], _ operation: String, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            for line in lines where !state.interrupts.isOn(index, line.vector, of: line) {
                throw line.loss(operation)
            }
            try body()
        }
    }

    private static func name(_ vectors: [UInt32]) -> String {
        vectors.count == 1 ? "vector \(vectors[0])" : "\(vectors.count) vectors"
    }

    // MARK: Requests

    private func disableAll(_ index: InterruptIndex) throws(Errno) {
        try ABI.setIRQs(.trigger, index.rawValue, from: 0, count: 0).perform(on: self)
    }

    private func setEvents(_ index: InterruptIndex, start: UInt32, _ events: [FileDescriptor?]) throws(Errno) {
        try ABI.setIRQs(.trigger, index.rawValue, from: start, .events(events)).perform(on: self)
    }
}
