/// Identifies a command in flight: a number below the queue's depth, which is reused after the command has completed.
///
/// Callers can use it as an index into their own data for the commands in flight.
public struct CommandID: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
}
