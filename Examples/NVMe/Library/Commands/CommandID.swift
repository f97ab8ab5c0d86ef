/// Which of a queue's commands it is: below the queue's depth, and given again after the command has completed.
///
/// So it is an index into what the caller keeps for each command in flight.
public struct CommandID: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
}
