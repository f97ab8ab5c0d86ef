/// The error and the request interrupt of a device: shared between a ``DeviceWatch`` and its sequences.
package final class DeviceWatchSource: Sendable {
    /// In the order in which they are reported.
    private static let indices = [InterruptIndex.error, .request]

    package let set: EventSetCore<InterruptIndex>
    package let lines: [InterruptLine]
    private let core: DeviceCore

    init(_ core: DeviceCore) throws(VFIOError) {
        var lines: [InterruptLine] = []
        for index in Self.indices {
            do throws(VFIOError) {
                let interrupts = try Interrupts(index, of: core)
                if interrupts.count > 0 { lines.append(try interrupts.enable().line) }
            } catch {
                guard error.code == .notFound else { throw error }
            }
        }
        guard !lines.isEmpty else {
            throw VFIOError(
                .unsupported, "watch the device", "\(core.address)",
                hint: "it has neither the error interrupt nor the request interrupt")
        }
        self.core = core
        self.lines = lines
        set = try EventSetCore(core.kernel)
        for line in lines { try set.add(line.event, of: line, as: line.index) }
    }

    /// Returns an event that is there. Does not wait.
    func take() throws(VFIOError) -> DeviceEvent? {
        for line in lines {
            guard try line.take() != nil else { continue }
            // An error may keep the device from answering until the host has reset its link.
            if line.index == .error { return .error }
            return isGone ? .gone : .releaseRequested
        }
        return nil
    }

    /// Whether the device was seen not to answer. A look that fails shows nothing, and a device in low power is not
    /// looked at, since that would wake it.
    private var isGone: Bool {
        !core.revocation.current.isInLowPower && (try? core.isPresent()) == false
    }

    /// Waits for an event and blocks the thread.
    func wait(timeout: Duration?) throws(VFIOError) -> DeviceEvent? {
        let deadline = ContinuousClock.Instant(after: timeout)
        while true {
            if let event = try take() { return event }
            let ready = try set.wait(timeout: deadline.map { $0 - ContinuousClock.now })
            // Another thread may have taken the event meanwhile.
            guard !ready.isEmpty else { return nil }
        }
    }

    func close() throws(VFIOError) {
        set.close()
        var failure: VFIOError?
        for line in lines {
            do throws(VFIOError) { try line.disable() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}
