internal import Synchronization
package import SystemPackage

/// A vector that is on, and its event: shared between an ``InterruptVector`` and the sequences made from it.
package final class InterruptLine: WaitableEvent {
    package let index: InterruptIndex
    package let vector: UInt32
    package let isMaskable: Bool
    /// The eventfd that counts the interrupts. Open for as long as this object lives.
    package let event: FileDescriptor
    package let core: DeviceCore
    private let kernel: any Kernel
    private let state: Mutex<State>

    private struct State: Sendable {
        var isClosed = false
        var waits: [EventWait] = []
        /// Unmasks the vector when it is signalled. Open for as long as the line lives, since KVM may hold on to it.
        var unmaskEvent: FileDescriptor?
        /// Holds the device open until the vector is off.
        var lease: DeviceLease?
    }

    /// A vector that has been switched on with this event, which now belongs to the line.
    private init(
        _ index: InterruptIndex, vector: UInt32, isMaskable: Bool, event: consuming OwnedDescriptor, lease: DeviceLease
    ) {
        self.index = index
        self.vector = vector
        self.isMaskable = isMaskable
        self.event = event.release()
        self.core = lease.core
        self.kernel = lease.core.kernel
        self.state = Mutex(State(lease: lease))
    }

    /// Switches vectors on, all of them or none.
    static func enable(
        _ index: InterruptIndex, _ vectors: [UInt32], isFixedSize: Bool, isMaskable: Bool, of core: DeviceCore,
        operation: String
    ) throws(VFIOError) -> [InterruptLine] {
        // An event belongs to its line from the start, while nothing is on yet.
        var lines: [InterruptLine] = []
        do throws(VFIOError) {
            for vector in vectors {
                let event = try makeEvent(of: core, subject: "\(index) of \(core.address)")
                lines.append(
                    InterruptLine(
                        index, vector: vector, isMaskable: isMaskable, event: event,
                        lease: DeviceLease(core, for: .vector(vector, index))))
            }
            try core.enable(
                index, Dictionary(uniqueKeysWithValues: lines.map { ($0.vector, $0.event) }), isFixedSize: isFixedSize,
                operation: operation)
        } catch {
            // Not to be switched off: a vector of this number may be on for somebody else.
            for line in lines { line.end() }
            throw error
        }
        return lines
    }

    private static func makeEvent(of core: DeviceCore, subject: String) throws(VFIOError) -> OwnedDescriptor {
        OwnedDescriptor(try attempt("make an event (eventfd)", subject, core.kernel.makeEvent()), of: core.kernel)
    }

    deinit {
        try? disable()
        try? core.kernel.close(event)
        if let unmaskEvent = state.withLock({ $0.unmaskEvent }) { try? core.kernel.close(unmaskEvent) }
    }

    // MARK: The end

    /// Whether the vector has been switched off, so that nothing will come any more.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Switches the vector off, once, and wakes whoever waits for it.
    func disable() throws(VFIOError) {
        try Self.disable([self])
    }

    /// Switches vectors of one kind off together.
    static func disable(_ lines: [InterruptLine]) throws(VFIOError) {
        let ended = lines.filter { $0.markClosed() }
        guard let first = ended.first else { return }
        defer { for line in ended { line.finish() } }
        try first.core.disable(first.index, ended.map(\.vector))
    }

    /// Ends the line without a word to the kernel.
    private func end() {
        if markClosed() { finish() }
    }

    /// - Returns: Whether it was not over before.
    private func markClosed() -> Bool {
        state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
    }

    /// Wakes whoever waits, and gives the device free: whoever still holds this object does not need it any more.
    private func finish() {
        let (waits, lease) = state.withLock { state in
            defer {
                state.waits = []
                state.lease = nil
            }
            return (state.waits, state.lease)
        }
        for wait in waits { wait.end() }
        withExtendedLifetime(lease) {}
    }

    // MARK: Masking

    /// The eventfd that unmasks the vector, made and tied to it at the first call.
    package func unmaskEvent() throws(VFIOError) -> FileDescriptor {
        try state.withLock { (state) throws(VFIOError) in
            if let known = state.unmaskEvent { return known }
            let made = try Self.makeEvent(of: core, subject: "vector \(vector) of \(index) of \(core.address)")
            try core.setUnmaskEvent(index, vector: vector, made.descriptor)
            let event = made.release()
            state.unmaskEvent = event
            return event
        }
    }

    // MARK: Waiting

    /// Notes a wait, to be ended with the vector. `false` when the vector is over.
    package func begin(_ wait: EventWait) -> Bool {
        state.withLock { state in
            if !state.isClosed { state.waits.append(wait) }
            return !state.isClosed
        }
    }

    /// Forgets a wait that has ended.
    package func forget(_ wait: EventWait) {
        state.withLock { state in state.waits.removeAll { $0 === wait } }
    }

    /// The event is closed with the line only, which each wait holds until then.
    package func watchCancelled() {}

    /// Waits for an interrupt and blocks the thread meanwhile.
    func wait(timeout: Duration?) throws(VFIOError) -> UInt64? {
        // One that has come already costs a read and nothing else.
        if let count = try take() { return count }
        return try block(timeout: timeout)
    }

    @inline(never)
    private func block(timeout: Duration?) throws(VFIOError) -> UInt64? {
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while true {
            do throws(Errno) {
                guard try kernel.waitUntilReadable(event, until: deadline) else { return nil }
            } catch {
                throw failure("wait for the event (poll)", error)
            }
            // Another thread may have been quicker.
            if let count = try take() { return count }
        }
    }

    /// How many interrupts have come since the last call; `nil` when none has.
    func take() throws(VFIOError) -> UInt64? {
        var count: UInt64 = 0
        do throws(Errno) {
            let size = try unsafe withUnsafeMutableBytes(of: &count) { (bytes) throws(Errno) -> Int in
                try unsafe kernel.read(event, into: bytes)
            }
            guard size == MemoryLayout<UInt64>.size else { throw .ioError }
            return count
        } catch .resourceTemporarilyUnavailable {
            return nil
        } catch {
            throw failure("read the event", error)
        }
    }

    private func failure(_ operation: String, _ errno: Errno) -> VFIOError {
        VFIOError(.kernel, operation, "vector \(vector) of \(index) of \(core.address)", errno: errno)
    }
}
