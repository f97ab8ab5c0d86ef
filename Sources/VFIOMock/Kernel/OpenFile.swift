internal import Glibc
import SystemPackage

/// An open file of the mock: what `struct file` is to Linux.
///
/// Its descriptors are those of an empty file in memory, or of a pipe where `poll` has to work. The inode tells which
/// open file a descriptor belongs to, however the process came by it.
final class OpenFile {
    /// What tells files of the host apart.
    struct Identity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    let identity: Identity
    let operations: any FileOperations
    /// How many files were opened before.
    let number: Int
    private unowned let core: Core
    /// The descriptors that the mock knows of.
    var descriptors: Set<Int32> = []
    /// Descriptors on their way through sockets.
    var inFlight = 0
    /// What else keeps it open: mappings of the process, and other objects of the kernel.
    private var holds = 0
    /// How it was opened, as `fcntl` and fdinfo tell it. The mock's own file below is always open for both.
    var statusFlags = O_RDWR
    /// For `read` and `write` without an offset.
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

    /// What `/proc/self/fdinfo` says of it under a number.
    func information(_ number: Int32) -> String {
        let closesOnExec = fcntl(number, F_GETFD) & FD_CLOEXEC != 0
        let flags = String(statusFlags | (closesOnExec ? O_CLOEXEC : 0), radix: 8)
        return "pos:\t\(position)\nflags:\t0\(flags)\nmnt_id:\t14\nino:\t\(identity.inode)\n"
            + operations.information(self)
    }
}
