/// A call of the `Kernel` protocol, named after its system call.
public enum MockCall: String, Sendable, Hashable, CaseIterable {
    case open
    case close
    /// `duplicate(_:)`
    case dup
    /// `size(of:)`
    case lseek
    case read
    case write
    /// `read(_:at:into:)`
    case pread
    /// `write(_:at:from:)`
    case pwrite
    /// `control(_:_:_:)` and `control(_:_:value:)`
    case ioctl
    /// `map(_:)`
    case mmap
    /// `unmap(_:)`
    case munmap
    /// `makeEvent()`
    case eventfd
    /// `waitUntilReadable(_:timeout:)`
    case poll
    /// `send(_:over:)`
    case sendmsg
    /// `receiveDescriptor(from:)`
    case recvmsg
    /// `readLink(_:)`
    case readlink
    case readFile
    case writeFile
    /// `names(in:)`
    case readdir
    /// `memoryLockLimit()`
    case getrlimit
}
