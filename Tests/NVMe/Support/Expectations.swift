// What is exported here, the other files of the target need not import.
@_exported import NVMe
@_exported import TestSupport
@_exported import Testing
@_exported import VFIO
@_exported import VFIOMock

/// Expects an error of something done with a queue, which closures do not capture well in Swift 6.3.
func expectError(
    _ expected: NVMeError, with queue: inout QueuePair, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (inout QueuePair) throws(NVMeError) -> Void
) {
    do throws(NVMeError) {
        try body(&queue)
        Issue.record("there was no error", sourceLocation: sourceLocation)
    } catch { #expect(error == expected, "\(error)", sourceLocation: sourceLocation) }
}

/// Expects a value of a queue or the like, which closures of macros do not capture well in Swift 6.3.
func expectEqual<Value: Equatable>(
    _ found: Value, _ expected: Value, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) { #expect(found == expected, comment, sourceLocation: sourceLocation) }

/// Expects a command to fail with a status, whatever the bits beside type and code say.
func expectStatus(
    _ expected: CommandStatus, with queue: inout QueuePair, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (inout QueuePair) throws(NVMeError) -> Void
) {
    do throws(NVMeError) {
        try body(&queue)
        Issue.record("there was no error", sourceLocation: sourceLocation)
    } catch {
        guard case .status(let status, _) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
        #expect(status.matches(expected), "\(error)", sourceLocation: sourceLocation)
    }
}

/// The command that was submitted, which closures of macros cannot say of a queue in Swift 6.3.
func submitted(_ command: CommandID?, sourceLocation: SourceLocation = #_sourceLocation) throws -> CommandID {
    try #require(command, "the queue is full", sourceLocation: sourceLocation)
}

/// Bytes that differ from place to place, and from seed to seed.
func pattern(_ byteCount: Int, seed: Int = 0) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8 ^ $0 >> 12 ^ seed &* 151 ^ 0xa5) }
}

extension ControllerOptions {
    /// For controllers that are to be given up soon.
    static func impatient(_ limit: Duration, shutdown: Duration? = nil, queueCount: Int? = nil) -> ControllerOptions {
        var options = ControllerOptions()
        options.commandTimeout = limit
        options.readyTimeout = limit
        options.shutdownTimeout = shutdown ?? limit
        if let queueCount { options.queueCount = queueCount }
        return options
    }
}

extension Controller: Closable {}
extension QueuePair: Closable {}
