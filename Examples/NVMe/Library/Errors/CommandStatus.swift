/// The status of a command: the status field of its completion (NVM Express Base Specification 1.4, 4.6.1).
public struct CommandStatus: RawRepresentable, Sendable, Hashable {
    /// Bits 0 to 7 are the status code, 8 to 10 its type, 13 `more`, 14 `doNotRetry`.
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable init(type: UInt16, code: UInt16) { rawValue = type << 8 | code }

    /// The status code type (SCT): 0 generic, 1 command specific, 2 media, 3 path, 7 vendor specific.
    public var type: Int { Int(rawValue >> 8 & 7) }
    /// The status code (SC).
    public var code: Int { Int(rawValue & 0xff) }
    /// Whether the error log has more information (M).
    public var hasMore: Bool { rawValue >> 13 & 1 == 1 }
    /// Whether the same command would fail again (DNR).
    public var doNotRetry: Bool { rawValue >> 14 & 1 == 1 }

    /// Whether the command succeeded.
    @inlinable public var isSuccess: Bool { rawValue & 0x7ff == 0 }

    /// Whether type and code are those of another status, ignoring the other bits.
    @inlinable public func matches(_ other: CommandStatus) -> Bool { rawValue & 0x7ff == other.rawValue & 0x7ff }

    /// Successful completion.
    @inlinable public static var success: CommandStatus { .init(type: 0, code: 0) }
    /// A field of the command is invalid.
    @inlinable public static var invalidField: CommandStatus { .init(type: 0, code: 0x02) }
    /// The data or metadata could not be transferred, for example because the IOMMU refused the address.
    @inlinable public static var dataTransferError: CommandStatus { .init(type: 0, code: 0x04) }
    /// An internal error of the controller.
    @inlinable public static var internalError: CommandStatus { .init(type: 0, code: 0x06) }
    /// The command was ended by an Abort command.
    @inlinable public static var abortRequested: CommandStatus { .init(type: 0, code: 0x07) }
    /// The submission queue was deleted.
    @inlinable public static var submissionQueueDeleted: CommandStatus { .init(type: 0, code: 0x08) }
    /// The namespace does not exist, or its format is not valid.
    @inlinable public static var invalidNamespace: CommandStatus { .init(type: 0, code: 0x0b) }
    /// A block is beyond the end of the namespace.
    @inlinable public static var blockOutOfRange: CommandStatus { .init(type: 0, code: 0x80) }
    /// The data could not be written to the medium.
    @inlinable public static var writeFault: CommandStatus { .init(type: 2, code: 0x80) }
    /// The data could not be read from the medium.
    @inlinable public static var unrecoveredReadError: CommandStatus { .init(type: 2, code: 0x81) }
    /// Aborted by the host: the driver's status for a command that was ended by a reset of the controller, whether it
    /// was executed or not.
    @inlinable public static var aborted: CommandStatus { .init(type: 3, code: 0x71) }
}

extension CommandStatus: CustomStringConvertible {
    /// The specification's name, and the numbers.
    public var description: String {
        let name = CommandStatusNames.name(type: type, code: code) ?? "unknown status"
        let number = String(code, radix: 16)
        let padding = number.count < 2 ? "0" : ""
        return "\(name) (type \(type), code 0x\(padding)\(number)\(doNotRetry ? ", do not retry" : ""))"
    }
}
