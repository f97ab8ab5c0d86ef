/// The end of a command.
public struct Completion: Sendable, Hashable {
    /// Which command has ended.
    public let command: CommandID
    /// How it ended.
    public let status: CommandStatus
    /// Dword 0 of the completion, whose meaning depends on the command; of no meaning for reads and writes.
    public let result: UInt32

    @inlinable
    init(command: CommandID, status: CommandStatus, result: UInt32) {
        self.command = command
        self.status = status
        self.result = result
    }
}
