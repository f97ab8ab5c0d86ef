import SystemPackage
import VFIO

/// What a kind of open file does: Linux's `file_operations`. What a kind does not have gets the errno that Linux gives
/// where the operation is missing.
protocol FileOperations: AnyObject {
    /// What the test is told that is open.
    var kind: MockOpenFile.Kind { get }

    /// Whether it has no positions, so that `pread` and `pwrite` are `ESPIPE`.
    var isStream: Bool { get }

    /// Its size, for `lseek`.
    func size() throws(Errno) -> UInt64

    /// `read` and `pread`.
    ///
    /// - Parameter position: Where to read; moved on by the number of bytes.
    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int

    /// `write` and `pwrite`.
    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int

    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer

    /// What makes its descriptor readable; `nil` for files that are not polled.
    var readiness: Readiness? { get }

    /// What it adds to `/proc/self/fdinfo/N`.
    func information(_ file: OpenFile) -> String

    /// The file has been opened.
    func opened(as file: OpenFile)

    /// The last descriptor, and all else that held the file, is gone.
    func release()
}

extension FileOperations {
    var isStream: Bool { false }
    func size() throws(Errno) -> UInt64 { throw .illegalSeek }
    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int { throw .invalidArgument }
    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int { throw .invalidArgument }
    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int { throw .inappropriateIOCTLForDevice }
    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        throw .operationNotSupportedByDevice
    }
    var readiness: Readiness? { nil }
    func information(_ file: OpenFile) -> String { "" }
    func opened(as file: OpenFile) {}
    func release() {}
}
