internal import Synchronization
internal import SystemPackage

/// A vector that is on, and its event: shared between an ``InterruptVector`` and the sequences made from it.
final class InterruptLine: Sendable {
    let index: InterruptIndex
    let vector: UInt32
    let isAutomasked: Bool
    /// The eventfd that counts the interrupts. Open for as long as this object lives.
    let event: FileDescriptor
    let core: DeviceCore
    /// Holds the device open until the vector is off.
    private let lease: Mutex<DeviceLease?>
    private let isEnabled = Mutex(true)

    init(
        _ index: InterruptIndex, vector: UInt32, isFixedSize: Bool, isAutomasked: Bool, lease: consuming DeviceLease,
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
        self.isAutomasked = isAutomasked
        self.event = owned.release()
        self.core = core
        self.lease = Mutex(lease)
    }

    deinit {
        try? disable()
        try? core.kernel.close(event)
    }

    /// Whether the vector has been switched off, so that nothing will come any more.
    var isOver: Bool { isEnabled.withLock { !$0 } }

    /// Switches the vector off, once, and wakes whoever waits for it.
    func disable() throws(VFIOError) {
        let wasEnabled = isEnabled.withLock { isEnabled in
            defer { isEnabled = false }
            return isEnabled
        }
        guard wasEnabled else { return }
        // The device is not needed any more, whoever still holds this object.
        defer { lease.withLock { $0 = nil } }
        do throws(VFIOError) {
            try core.disable(index, vector: vector)
        } catch {
            try? raise()
            throw error
        }
        try raise()
    }

    /// Raises the event by hand, for those who wait for a vector that is over: it stays readable, so each of them sees it.
    func raise() throws(VFIOError) {
        let one: UInt64 = 1
        do throws(Errno) {
            _ = try unsafe withUnsafeBytes(of: one) { (bytes) throws(Errno) -> Int in
                try unsafe core.kernel.write(event, from: bytes)
            }
        } catch {
            throw failure("wake those who wait for the event", error)
        }
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
