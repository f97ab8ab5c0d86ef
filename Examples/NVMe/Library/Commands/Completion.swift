/// The completion of a command.
public struct Completion: Sendable, Hashable {
    /// The command that has completed.
    public let command: CommandID
    /// The command's status.
    public let status: CommandStatus
    /// Dword 0 of the completion, whose meaning depends on the command; undefined for reads and writes.
    public let result: UInt32

    @inlinable
    init(command: CommandID, status: CommandStatus, result: UInt32) {
        self.command = command
        self.status = status
        self.result = result
    }
}
