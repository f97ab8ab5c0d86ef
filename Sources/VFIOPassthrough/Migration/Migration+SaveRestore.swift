internal import VFIO

extension Migration {
    /// How much is moved at a time, in bytes.
    private static let chunk = 1 << 20

    /// Stops the device, hands its state out piece by piece, and lets it go on.
    ///
    /// When the closure throws, or the task is cancelled, the device goes back to where it was, RUNNING or STOP, and the
    /// error is handed on.
    ///
    /// - Parameters:
    ///   - final: Where the device is left: `.running`, or `.stop` for a device whose successor is to go on in its place.
    ///   - sink: Takes the pieces, in order.
    /// - Throws: What `sink` throws, `CancellationError`, and the errors of ``changeState(to:)`` and
    ///   ``MigrationStream/read(upTo:)``. When the device cannot go on as well, an error that says so, with the first one in
    ///   its hint.
    public func save(endingIn final: MigrationState = .running, into sink: ([UInt8]) throws -> Void) throws {
        let before = try check(final, for: "save the device's state")
        do {
            try copyOut(sink)
        } catch {
            do {
                // Who was stopped stays so: its successor may be running already.
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

    /// The device's state, all at once. See ``save(endingIn:into:)``.
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

    /// Gives the device the state of another one of its kind, piece by piece, and lets it go on from there. What it was
    /// before is lost.
    ///
    /// When the closure throws, the task is cancelled, or the device does not take the state, the device is reset and runs,
    /// and the error is handed on.
    ///
    /// - Parameters:
    ///   - final: Where the device is left: `.running`, or `.stop` to let it run later.
    ///   - source: Gives the pieces, in order; `nil` at the end.
    /// - Throws: What `source` throws, `CancellationError`, and the errors of ``changeState(to:)`` and
    ///   ``MigrationStream/write(_:)``. When the device cannot be reset either, an error that says so, with the first one in
    ///   its hint.
    public func restore(endingIn final: MigrationState = .running, from source: () throws -> [UInt8]?) throws {
        _ = try check(final, for: "restore a device's state")
        do {
            try copyIn(source)
            _ = try changeState(to: final)
        } catch {
            // The way from RESUMING leads through the very state that was not taken, so only a reset is left.
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

    /// Gives the device the state of another one of its kind, all at once. See ``restore(endingIn:from:)``.
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
