import SystemPackage

/// What swift-system has no name for.
extension Errno {
    /// `ESPIPE`.
    static var illegalSeek: Errno { Errno(rawValue: 29) }
    /// `EBADFD`.
    static var badDescriptorState: Errno { Errno(rawValue: 77) }
    /// `EMSGSIZE`.
    static var messageTooLong: Errno { Errno(rawValue: 90) }
}
