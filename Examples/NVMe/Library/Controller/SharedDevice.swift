internal import Synchronization
internal import VFIO

/// A controller's device, which closures of the driver's user and the driver itself use without a lock until it is
/// closed.
final class SharedDevice: Sendable {
    private struct Uses: Sendable {
        var count = 0
        var isClosed = false
    }

    private let uses = Mutex(Uses())
    // Borrowed while it counts as used, and taken only after that, by one thread.
    private nonisolated(unsafe) var device: Device?

    init(_ device: consuming Device) { unsafe self.device = consume device }

    /// Calls a closure with the device.
    func with<Value: ~Copyable>(
        _ body: (borrowing Device) throws(VFIOError) -> Value
    ) throws(NVMeError) -> Value {
        let result = try result(of: body)
        do throws(VFIOError) { return try result.get() } catch { throw .vfio(error) }
    }

    /// Calls a closure with the device, and returns the closure's result or its error.
    ///
    /// - Throws: `.closed`.
    func result<Value: ~Copyable, Failure: Error>(
        of body: (borrowing Device) throws(Failure) -> Value
    ) throws(NVMeError) -> Result<Value, Failure> {
        let isOpen = uses.withLock { uses in
            if !uses.isClosed { uses.count += 1 }
            return !uses.isClosed
        }
        guard isOpen else { throw .closed }
        defer { endUse() }
        switch unsafe device {
        case .some(let device):
            do throws(Failure) { return .success(try body(device)) } catch { return .failure(error) }
        case .none: throw .closed
        }
    }

    private func endUse() {
        let isLast = uses.withLock { uses in
            uses.count -= 1
            return uses.isClosed && uses.count == 0
        }
        // close() has thrown already.
        if isLast { try? takeAndClose() }
    }

    /// Closes the device.
    ///
    /// - Throws: `.inUse` while a closure uses it: the device is closed after the last of them.
    func close() throws(VFIOError) {
        let isUnused = uses.withLock { uses in
            uses.isClosed = true
            return uses.count == 0
        }
        guard isUnused else {
            throw VFIOError(
                .inUse, "close the device", "the controller", hint: "a closure uses it, at whose end it is closed")
        }
        try takeAndClose()
    }

    private func takeAndClose() throws(VFIOError) {
        if let device = unsafe device.take() { try device.close() }
    }
}
