/// How a command ended: the status field of its completion (NVM Express Base Specification 1.4, 4.6.1).
public struct CommandStatus: RawRepresentable, Sendable, Hashable {
    /// Bits 0 to 7 are the status code, 8 to 10 its type, 13 `more`, 14 `doNotRetry`.
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable init(type: UInt16, code: UInt16) { rawValue = type << 8 | code }

    /// What kind of status the code is (SCT): 0 generic, 1 of the command, 2 of the medium, 3 of the path, 7 the maker's.
    public var type: Int { Int(rawValue >> 8 & 7) }
    /// The status code (SC).
    public var code: Int { Int(rawValue & 0xff) }
    /// The log of errors has more of it (M).
    public var hasMore: Bool { rawValue >> 13 & 1 == 1 }
    /// The same command would fail again (DNR).
    public var doNotRetry: Bool { rawValue >> 14 & 1 == 1 }

    /// The command did what it was told.
    @inlinable public var isSuccess: Bool { rawValue & 0x7ff == 0 }

    /// Whether type and code are those of another status, whatever the other bits say.
    @inlinable public func matches(_ other: CommandStatus) -> Bool { rawValue & 0x7ff == other.rawValue & 0x7ff }

    /// Successful completion.
    @inlinable public static var success: CommandStatus { .init(type: 0, code: 0) }
    /// A field of the command is invalid.
    @inlinable public static var invalidField: CommandStatus { .init(type: 0, code: 0x02) }
    /// The data or metadata could not be transferred: the IOMMU refused the address, among others.
    @inlinable public static var dataTransferError: CommandStatus { .init(type: 0, code: 0x04) }
    /// Something went wrong inside of the controller.
    @inlinable public static var internalError: CommandStatus { .init(type: 0, code: 0x06) }
    /// An Abort command ended it.
    @inlinable public static var abortRequested: CommandStatus { .init(type: 0, code: 0x07) }
    /// Its submission queue was deleted.
    @inlinable public static var submissionQueueDeleted: CommandStatus { .init(type: 0, code: 0x08) }
    /// There is no such namespace, or its format does not do.
    @inlinable public static var invalidNamespace: CommandStatus { .init(type: 0, code: 0x0b) }
    /// A block beyond the end of the namespace.
    @inlinable public static var blockOutOfRange: CommandStatus { .init(type: 0, code: 0x80) }
    /// The medium could not keep the data.
    @inlinable public static var writeFault: CommandStatus { .init(type: 2, code: 0x80) }
    /// The medium could not give the data back.
    @inlinable public static var unrecoveredReadError: CommandStatus { .init(type: 2, code: 0x81) }
    /// Aborted by the host: this driver's word for a command that a reset of the controller has ended, whether it was
    /// carried out or not.
    @inlinable public static var aborted: CommandStatus { .init(type: 3, code: 0x71) }
}

extension CommandStatus: CustomStringConvertible {
    /// The name that the specification has for it, and the numbers.
    public var description: String {
        let name = CommandStatusNames.name(type: type, code: code) ?? "unknown status"
        let number = String(code, radix: 16)
        let padding = number.count < 2 ? "0" : ""
        return "\(name) (type \(type), code 0x\(padding)\(number)\(doNotRetry ? ", do not retry" : ""))"
    }
}
