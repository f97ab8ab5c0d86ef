internal import SystemPackage

extension Errno {
    /// The C name of the error, or its number if it has none.
    var symbol: String {
        switch self {
        case .notPermitted: "EPERM"
        case .noSuchFileOrDirectory: "ENOENT"
        case .ioError: "EIO"
        case .noSuchAddressOrDevice: "ENXIO"
        case .argListTooLong: "E2BIG"
        case .badFileDescriptor: "EBADF"
        case .resourceTemporarilyUnavailable: "EAGAIN"
        case .noMemory: "ENOMEM"
        case .permissionDenied: "EACCES"
        case .badAddress: "EFAULT"
        case .resourceBusy: "EBUSY"
        case .fileExists: "EEXIST"
        case .operationNotSupportedByDevice: "ENODEV"
        case .invalidArgument: "EINVAL"
        case .tooManyOpenFilesInSystem: "ENFILE"
        case .tooManyOpenFiles: "EMFILE"
        case .inappropriateIOCTLForDevice: "ENOTTY"
        case .noSpace: "ENOSPC"
        case .outOfRange: "ERANGE"
        case .overflow: "EOVERFLOW"
        case .notSupported: "EOPNOTSUPP"
        case .addressInUse: "EADDRINUSE"
        case .addressNotAvailable: "EADDRNOTAVAIL"
        case .connectionReset: "ECONNRESET"
        case .noMessage: "ENOMSG"
        case .timedOut: "ETIMEDOUT"
        case .interrupted: "EINTR"
        case .notDirectory: "ENOTDIR"
        case .isDirectory: "EISDIR"
        case .brokenPipe: "EPIPE"
        case .illegalSeek: "ESPIPE"
        case .notSocket: "ENOTSOCK"
        case .messageTooLong: "EMSGSIZE"
        default: "errno \(rawValue)"
        }
    }
}
