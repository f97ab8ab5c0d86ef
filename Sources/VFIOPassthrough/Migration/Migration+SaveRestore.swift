internal import VFIO

extension Migration {
    /// The size of a piece, in bytes.
    private static let chunk = 1 << 20

    /// Stops the device, passes its state to a closure in pieces, and sets the device's final state.
    ///
    /// If the closure throws or the task is cancelled, the device returns to its previous state, RUNNING or STOP, and
    /// the error is rethrown.
    ///
    /// - Parameters:
    ///   - final: The final state of the device: `.running`, or `.stop` for a device that is replaced by the
    ///     destination.
    ///   - sink: Receives the pieces, in order.
    /// - Throws: The error of `sink`, `CancellationError`, and the errors of ``changeState(to:)`` and
    ///   ``MigrationStream/read(upTo:)``. If the device also cannot return to its previous state, an error that reports
    ///   this, with the first one in its hint.
    public func save(endingIn final: MigrationState = .running, into sink: ([UInt8]) throws -> Void) throws {
        let before = try check(final, for: "save the device's state")
        do {
            try copyOut(sink)
        } catch {
            do {
                // A stopped device stays stopped: the destination may be running already.
                _ = try changeState(to: before)
            } catch let second {
                throw VFIOError(
                    second.code, second.operation, second.subject, errno: second.errno,
                    hint: "the device does not go back to \(before), after this: \(error)")
            }
            throw error
        }
        _ = try changeState(to: final)
    }

    /// Returns the device's state as one array. See ``save(endingIn:into:)``.
    public func save(endingIn final: MigrationState = .running) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try save(endingIn: final) { bytes += $0 }
        return bytes
    }

    private func copyOut(_ sink: ([UInt8]) throws -> Void) throws {
        guard let stream = try changeState(to: .stopCopy) else { throw missingStream(.stopCopy) }
        while true {
            try Task.checkCancellation()
            let bytes = try stream.read(upTo: Self.chunk)
            if bytes.isEmpty { break }
            try sink(bytes)
        }
        try stream.close()
    }

    /// Loads the state of another device of the same type in pieces, and sets the device's final state. Its previous
    /// state is lost.
    ///
    /// If the closure throws, the task is cancelled, or the device refuses the state, the device is reset and runs, and
    /// the error is rethrown.
    ///
    /// - Parameters:
    ///   - final: The final state of the device: `.running`, or `.stop` to let it run later.
    ///   - source: Returns the pieces, in order; `nil` at the end.
    /// - Throws: The error of `source`, `CancellationError`, and the errors of ``changeState(to:)`` and
    ///   ``MigrationStream/write(_:)``. If the device also cannot be reset, an error that reports this, with the first
    ///   one in its hint.
    public func restore(endingIn final: MigrationState = .running, from source: () throws -> [UInt8]?) throws {
        _ = try check(final, for: "restore a device's state")
        do {
            try copyIn(source)
            _ = try changeState(to: final)
        } catch {
            // Leaving RESUMING would load the incomplete state, so only a reset is possible.
            do {
                try recover()
            } catch let second {
                throw VFIOError(
                    second.code, second.operation, second.subject, errno: second.errno,
                    hint: "the device does not go on, after this: \(error)")
            }
            throw error
        }
    }

    /// Loads the state of another device of the same type from one array. See ``restore(endingIn:from:)``.
    public func restore(_ state: [UInt8], endingIn final: MigrationState = .running) throws {
        var rest: [UInt8]? = state
        try restore(endingIn: final) {
            defer { rest = nil }
            return rest
        }
    }

    private func copyIn(_ source: () throws -> [UInt8]?) throws {
        guard let stream = try changeState(to: .resuming) else { throw missingStream(.resuming) }
        while let bytes = try source() {
            try Task.checkCancellation()
            try stream.write(bytes)
        }
        try stream.close()
    }
}
