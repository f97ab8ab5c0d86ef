internal import Glibc
import SystemPackage

/// An open file of the mock, as Linux's `struct file`.
///
/// Its descriptors are those of an empty file in memory, or of a pipe where `poll` must work. The inode identifies the
/// open file, however the process obtained the descriptor.
final class OpenFile {
    /// The identity of a file of the host.
    struct Identity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    let identity: Identity
    let operations: any FileOperations
    /// The node that it was opened by; `nil` for one that an `ioctl` made.
    var node: String?
    /// The number of files opened before it.
    let number: Int
    private unowned let core: Core
    /// The descriptors known to the mock.
    var descriptors: Set<Int32> = []
    /// The descriptors in transit through sockets.
    var inFlight = 0
    /// References by mappings of the process and by other objects of the kernel.
    private var holds = 0
    /// The flags for `fcntl` and fdinfo. The host file below is always open for both.
    var statusFlags = O_RDWR
    /// The position of `read` and `write` without an offset.
    private var position: UInt64 = 0

    init(_ operations: any FileOperations, _ identity: Identity, number: Int, _ core: Core) {
        self.operations = operations
        self.identity = identity
        self.number = number
        self.core = core
    }

    var referenceCount: Int { descriptors.count + inFlight + holds }

    /// Keeps it open until ``release()``.
    func hold() { holds += 1 }

    func release() {
        holds -= 1
        core.releaseIfUnused(self)
    }

    // MARK: Reading and writing

    func read(into buffer: UserBuffer) throws(Errno) -> Int { try operations.read(into: buffer, at: &position) }

    func write(from buffer: UserBuffer) throws(Errno) -> Int { try operations.write(from: buffer, at: &position) }

    /// `pread`.
    func read(into buffer: UserBuffer, at offset: UInt64) throws(Errno) -> Int {
        if operations.isStream { throw .illegalSeek }
        var position = offset
        return try operations.read(into: buffer, at: &position)
    }

    /// `pwrite`.
    func write(from buffer: UserBuffer, at offset: UInt64) throws(Errno) -> Int {
        if operations.isStream { throw .illegalSeek }
        var position = offset
        return try operations.write(from: buffer, at: &position)
    }

    /// The contents of `/proc/self/fdinfo/NUMBER`.
    func information(_ number: Int32) -> String {
        let closesOnExec = fcntl(number, F_GETFD) & FD_CLOEXEC != 0
        let flags = String(statusFlags | (closesOnExec ? O_CLOEXEC : 0), radix: 8)
        return "pos:\t\(position)\nflags:\t0\(flags)\nmnt_id:\t14\nino:\t\(identity.inode)\n"
            + operations.information(self)
    }
}
