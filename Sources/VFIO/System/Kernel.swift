public import SystemPackage

/// The interface between the library and the operating system: every system call that the library makes.
///
/// The library marshals its requests above this interface, so an implementation receives exactly the bytes that Linux
/// would receive. There are two conformances: ``HostKernel`` passes each call to Linux, and `MockKernel` of the module
/// `VFIOMock` implements them in memory.
///
/// Rules for conforming types:
/// - A failure is thrown as the `errno` that Linux would return; no other error is thrown.
/// - `EINTR` is never thrown: the call is repeated, except in ``waitUntilReadable(_:timeout:)``, which may return
///   early.
/// - Descriptors are descriptors of this process. Those from ``makeEvent()`` may be passed to `epoll`, to Dispatch or
///   to another process, and sockets may come from outside. All are close-on-exec.
/// - Calls may come from any thread at any time.
public protocol Kernel: Sendable {
    // MARK: Descriptors

    /// Opens a device node, as `open(2)` with `O_CLOEXEC`.
    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor

    /// Closes a descriptor, as `close(2)`. The descriptor is closed even if this throws.
    func close(_ descriptor: FileDescriptor) throws(Errno)

    /// Duplicates a descriptor, as `fcntl(2)` with `F_DUPFD_CLOEXEC`.
    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor

    /// Returns the size of the open file in bytes, as `lseek(2)` to the end.
    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64

    /// Reads up to `buffer.count` bytes, as `read(2)`.
    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int

    /// Writes up to `buffer.count` bytes, as `write(2)`.
    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int

    /// Reads at an offset in bytes, as `pread(2)`: VFIO's access to config space and to regions without mmap.
    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int

    /// Writes at an offset in bytes, as `pwrite(2)`.
    func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int

    // MARK: Requests

    /// Makes an `ioctl(2)` whose argument points to a structure that the kernel may read and write.
    ///
    /// The buffer is at least as long as the structure's `argsz`, `size` or `dlen` field says.
    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int

    /// Makes an `ioctl(2)` whose argument is a number, or that has none.
    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int

    // MARK: Memory

    /// Maps memory, as `mmap(2)`. Lengths and offsets are in bytes, multiples of ``pageSize``.
    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer

    /// Unmaps memory, as `munmap(2)`.
    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno)

    /// The size of a page in bytes.
    var pageSize: Int { get }

    // MARK: Events

    /// Creates an event counter, as `eventfd(2)` from 0 with `EFD_CLOEXEC | EFD_NONBLOCK`.
    func makeEvent() throws(Errno) -> FileDescriptor

    /// Returns whether the descriptor is readable, after waiting for at most `timeout` milliseconds (`nil`: no limit),
    /// as `poll(2)`. May return `false` early after a signal.
    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool

    // MARK: Other processes

    /// Sends a descriptor over a Unix socket, as `sendmsg(2)` of one byte with `SCM_RIGHTS`.
    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno)

    /// Receives a descriptor from a Unix socket, as `recvmsg(2)`. Throws `ENOMSG` if the message does not carry exactly
    /// one descriptor, and `ECONNRESET` if the peer has closed the socket.
    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor

    // MARK: sysfs

    /// Returns the target of a symbolic link, as `readlink(2)`, without resolving it further.
    func readLink(_ path: FilePath) throws(Errno) -> FilePath

    /// Returns the bytes of a small file such as a sysfs attribute.
    func readFile(_ path: FilePath) throws(Errno) -> [UInt8]

    /// Writes a sysfs attribute in one `write(2)`.
    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno)

    /// Returns the names in a directory, without `.` and `..`, sorted.
    func names(in folder: FilePath) throws(Errno) -> [String]

    // MARK: Limits

    /// Returns how much memory the process may lock, in bytes, as `getrlimit(2)` of `RLIMIT_MEMLOCK`; `nil` if
    /// unlimited.
    func memoryLockLimit() throws(Errno) -> UInt64?
}
