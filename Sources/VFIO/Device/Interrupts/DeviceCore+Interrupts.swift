internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    /// Assigns events to vectors: to all of them, or to none.
    func enable(
        _ index: InterruptIndex, _ events: [UInt32: FileDescriptor], isFixedSize: Bool, operation: String
    ) throws(VFIOError) {
        let subject = "\(index) of \(address)"
        guard let end = events.keys.max().map({ $0 + 1 }) else { return }
        try state.withLock { (state) throws(VFIOError) in
            if let taken = events.keys.sorted().first(where: { state.interrupts[index, $0] != nil }) {
                throw VFIOError(.busy, operation, subject, hint: "vector \(taken) is on already")
            }
            if let other = state.interrupts.conflict(with: index) {
                throw VFIOError(
                    .busy, operation, subject, hint: "\(other) is on, and a device uses one kind at a time")
            }
            let allocated = state.interrupts.allocated[index] ?? 0
            let old = (0..<max(allocated, end)).map { state.interrupts[index, $0] }
            do throws(Errno) {
                if isFixedSize, state.interrupts.isOn(index), end > allocated {
                    // The kernel cannot extend the set: switch all off, then on again with the new vectors.
                    let grown = old.enumerated().map { $1 ?? events[UInt32($0)] }
                    try disableAll(index)
                    do throws(Errno) {
                        try setEvents(index, start: 0, grown)
                    } catch {
                        // Restore the previous vectors. If that fails too, none is on, and the table records that.
                        do throws(Errno) {
                            try setEvents(index, start: 0, Array(old[..<Int(allocated)]))
                        } catch {
                            state.interrupts.removeAll(index)
                        }
                        throw error
                    }
                } else {
                    try addEvents(index, events, beside: old)
                }
            } catch {
                throw VFIOError(
                    refused: error, operation, subject,
                    [.noSpace: (.limit, "the host has fewer vectors left for the device")])
            }
            for (vector, event) in events { state.interrupts[index, vector] = event }
            state.interrupts.allocated[index] = max(allocated, end)
        }
    }

    /// Assigns events to vectors without changing those that are on, with one call per contiguous range between them.
    ///
    /// - Parameter old: The events of the vectors that are on, by vector number.
    private func addEvents(
        _ index: InterruptIndex, _ events: [UInt32: FileDescriptor], beside old: [FileDescriptor?]
    ) throws(Errno) {
        var stretches: [[UInt32]] = []
        for vector in events.keys.sorted() {
            if let last = stretches.last?.last, old[Int(last)..<Int(vector)].allSatisfy({ $0 == nil }) {
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

    /// Removes the events of vectors, and disables the interrupt type with its last vector.
    func disable(_ index: InterruptIndex, _ vectors: [UInt32]) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            let on = vectors.filter { state.interrupts[index, $0] != nil }
            guard !on.isEmpty else { return }
            for vector in on { state.interrupts[index, vector] = nil }
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

    /// Masks a vector, unmasks it, or raises its interrupt from software.
    func setIRQAction(_ action: ABI.IRQAction, _ index: InterruptIndex, vector: UInt32) throws(VFIOError) {
        try ABI.setIRQs(action, index.rawValue, from: vector, count: 1).perform(
            on: self, "\(action) vector \(vector)", "\(index) of \(address)")
    }

    /// Raises the interrupts of some vectors from software, in one call.
    func trigger(_ index: InterruptIndex, _ vectors: [UInt32]) throws(VFIOError) {
        guard let first = vectors.min(), let last = vectors.max() else { return }
        let wanted = Set(vectors)
        try ABI.setIRQs(.trigger, index.rawValue, from: first, .chosen((first...last).map(wanted.contains))).perform(
            on: self, "trigger \(Self.name(vectors))", "\(index) of \(address)")
    }

    /// Makes an event unmask a vector each time it is signalled; `nil` removes the event.
    func setUnmaskEvent(_ index: InterruptIndex, vector: UInt32, _ event: FileDescriptor?) throws(VFIOError) {
        try ABI.setIRQs(.unmask, index.rawValue, from: vector, .events([event])).perform(
            on: self, "let an event unmask vector \(vector)", "\(index) of \(address)")
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
