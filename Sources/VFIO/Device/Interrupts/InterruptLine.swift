internal import Synchronization
package import SystemPackage

/// A vector that is on, and its event: shared between an ``InterruptVector`` and the sequences made from it.
package final class InterruptLine: WaitableEvent, VectorOwner {
    package let index: InterruptIndex
    package let vector: UInt32
    package let isMaskable: Bool
    /// The eventfd that counts the interrupts. Open until this object is deinitialized.
    package let event: FileDescriptor
    package let core: DeviceCore
    private let kernel: any Kernel
    private let state: Mutex<State>
    /// The errno with which the kernel refused to switch the vector on again after it had to go off for others; 0 for
    /// none. Set before the event is signalled.
    private let lossErrno = Atomic<CInt>(0)

    private struct State: Sendable {
        var waits = WaitList()
        /// Unmasks the vector when it is signalled. Open as long as the line, since KVM may still use it.
        var unmaskEvent: FileDescriptor?
        /// Holds the device open until the vector is off.
        var lease: DeviceLease?
    }

    /// Creates the line of a vector with its event, which the line then owns.
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
        _ index: InterruptIndex, _ vectors: [UInt32], limit: UInt32?, isMaskable: Bool, of core: DeviceCore,
        operation: String
    ) throws(VFIOError) -> [InterruptLine] {
        // Each line owns its event from here on, before the vectors are on.
        var lines: [InterruptLine] = []
        do throws(VFIOError) {
            for vector in vectors {
                let event = try makeEvent(of: core, subject: "\(index) of \(core.address)")
                lines.append(
                    InterruptLine(
                        index, vector: vector, isMaskable: isMaskable, event: event,
                        lease: DeviceLease(core, for: .vector(vector, index))))
            }
            try core.enable(index, lines, limit: limit, operation: operation)
        } catch {
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

    // MARK: Closing

    /// Switches the vector off, once, and wakes all waiters.
    func disable() throws(VFIOError) {
        try Self.disable([self])
    }

    /// Switches vectors of one kind off together.
    static func disable(_ lines: [InterruptLine]) throws(VFIOError) {
        let ended = lines.filter { $0.markClosed() }
        guard let first = ended.first else { return }
        defer { for line in ended { line.finish() } }
        try first.core.disable(first.index, ended)
    }

    /// Ends the line without a request to the kernel.
    private func end() {
        if markClosed() { finish() }
    }

    /// - Returns: Whether the line was still open.
    private func markClosed() -> Bool { withWaits { $0.close() } }

    /// Wakes all waiters and ends the lease, which remaining references to this object do not need.
    private func finish() {
        let (waits, lease) = state.withLock { state in
            defer { state.lease = nil }
            return (state.waits.removeAll(), state.lease)
        }
        for wait in waits { wait.end() }
        withExtendedLifetime(lease) {}
    }

    // MARK: Loss

    package func vectorWasLost(_ errno: Errno) {
        lossErrno.store(errno.rawValue, ordering: .releasing)
        signal()
    }

    /// Wakes those who wait for the event, in whatever way.
    private func signal() {
        let one: UInt64 = 1
        _ = try? unsafe withUnsafeBytes(of: one) { (bytes) throws(Errno) -> Int in
            try unsafe kernel.write(event, from: bytes)
        }
    }

    /// The error for a vector that is off though it was not closed.
    func loss(_ operation: String) -> VFIOError {
        let errno = lossErrno.load(ordering: .acquiring)
        return VFIOError(
            .interruptLost, operation, "vector \(vector) of \(index) of \(core.address)",
            errno: errno == 0 ? nil : Errno(rawValue: errno),
            hint: "it had to go off for another vector, and the kernel refused to switch it on again; close it and "
                + "enable it anew")
    }

    /// Makes a request with the event, while the vector is on: it is not lost meanwhile.
    ///
    /// - Parameter operation: For the error, with the request.
    package func whileOn(_ operation: String, _ body: () throws(VFIOError) -> Void) throws(VFIOError) {
        try core.whileOn(index, [self], operation, body)
    }

    // MARK: Masking

    /// Returns the eventfd that unmasks the vector, created and assigned at the first call.
    package func unmaskEvent() throws(VFIOError) -> FileDescriptor {
        try state.withLock { (state) throws(VFIOError) in
            if let known = state.unmaskEvent { return known }
            let made = try Self.makeEvent(of: core, subject: "vector \(vector) of \(index) of \(core.address)")
            try core.setUnmaskEvent(self, made.descriptor)
            let event = made.release()
            state.unmaskEvent = event
            return event
        }
    }

    // MARK: Waiting

    package func withWaits<Result: Sendable>(_ body: (inout WaitList) -> Result) -> Result {
        state.withLock { body(&$0.waits) }
    }

    /// Waits for an interrupt and blocks the thread.
    func wait(timeout: Duration?) throws(VFIOError) -> UInt64? {
        // A pending interrupt costs only a read.
        if let count = try take() { return count }
        return try block(timeout: timeout)
    }

    @inline(never)
    private func block(timeout: Duration?) throws(VFIOError) -> UInt64? {
        let deadline = ContinuousClock.Instant(after: timeout)
        while true {
            do throws(Errno) {
                guard try kernel.waitUntilReadable(event, until: deadline) else { return nil }
            } catch {
                throw failure("wait for the event (poll)", error)
            }
            // Another thread may have taken the interrupt.
            if let count = try take() { return count }
        }
    }

    /// Returns the number of interrupts since the last call, `nil` if none.
    func take() throws(VFIOError) -> UInt64? {
        let count = try readEvent()
        guard lossErrno.load(ordering: .acquiring) == 0 else { throw lossFound(byTaking: count) }
        return count
    }

    /// Returns the error for whoever waits for a lost vector, and leaves its event readable for the others.
    @inline(never)
    private func lossFound(byTaking count: UInt64?) -> VFIOError {
        if count != nil { signal() }
        return loss("wait for the event")
    }

    private func readEvent() throws(VFIOError) -> UInt64? {
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
