internal import Synchronization
internal import SystemPackage

/// A vector that is on, and its event: shared between an ``InterruptVector`` and the sequences made from it.
final class InterruptLine: Sendable {
    let index: InterruptIndex
    let vector: UInt32
    let isMaskable: Bool
    /// The eventfd that counts the interrupts. Open for as long as this object lives.
    let event: FileDescriptor
    let core: DeviceCore
    private let state: Mutex<State>

    private struct State: Sendable {
        var isOver = false
        var waits: [EventWait] = []
        /// Holds the device open until the vector is off.
        var lease: DeviceLease?
    }

    init(
        _ index: InterruptIndex, vector: UInt32, isFixedSize: Bool, isMaskable: Bool, lease: DeviceLease,
        operation: String
    ) throws(VFIOError) {
        let core = lease.core
        let opened: FileDescriptor
        do throws(Errno) {
            opened = try core.kernel.makeEvent()
        } catch {
            throw VFIOError(.kernel, "make an event (eventfd)", "\(index) of \(core.address)", errno: error)
        }
        let owned = OwnedDescriptor(opened, of: core.kernel)
        try core.enable(index, vector: vector, event: opened, isFixedSize: isFixedSize, operation: operation)
        self.index = index
        self.vector = vector
        self.isMaskable = isMaskable
        self.event = owned.release()
        self.core = core
        self.state = Mutex(State(lease: lease))
    }

    deinit {
        try? disable()
        try? core.kernel.close(event)
    }

    // MARK: The end

    /// Whether the vector has been switched off, so that nothing will come any more.
    var isOver: Bool { state.withLock { $0.isOver } }

    /// Switches the vector off, once, and wakes whoever waits for it.
    func disable() throws(VFIOError) {
        let (wasOver, waits) = state.withLock { state in
            defer {
                state.isOver = true
                state.waits = []
            }
            return (state.isOver, state.waits)
        }
        guard !wasOver else { return }
        defer {
            for wait in waits { wait.end() }
            // The device is not needed any more, whoever still holds this object.
            state.withLock { $0.lease = nil }
        }
        try core.disable(index, vector: vector)
    }

    // MARK: Waiting

    /// Notes a wait, to be ended with the vector. `false` when the vector is over.
    func begin(_ wait: EventWait) -> Bool {
        state.withLock { state in
            if !state.isOver { state.waits.append(wait) }
            return !state.isOver
        }
    }

    /// Forgets a wait that has ended.
    func forget(_ wait: EventWait) {
        state.withLock { state in state.waits.removeAll { $0 === wait } }
    }

    /// How many interrupts have come since the last call; `nil` when none has.
    func take() throws(VFIOError) -> UInt64? {
        var count: UInt64 = 0
        do throws(Errno) {
            let size = try unsafe withUnsafeMutableBytes(of: &count) { (bytes) throws(Errno) -> Int in
                try unsafe core.kernel.read(event, into: bytes)
            }
            guard size == MemoryLayout<UInt64>.size else { throw .ioError }
            return count
        } catch .resourceTemporarilyUnavailable {
            return nil
        } catch {
            throw failure("read the event", error)
        }
    }

    /// Whether the event is raised, after waiting for at most `timeout` milliseconds.
    func wait(timeout: Int32?) throws(VFIOError) -> Bool {
        do throws(Errno) {
            return try core.kernel.waitUntilReadable(event, timeout: timeout)
        } catch {
            throw failure("wait for the event (poll)", error)
        }
    }

    private func failure(_ operation: String, _ errno: Errno) -> VFIOError {
        VFIOError(.kernel, operation, "vector \(vector) of \(index) of \(core.address)", errno: errno)
    }
}
