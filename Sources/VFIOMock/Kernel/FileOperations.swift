import SystemPackage
import VFIO

/// The operations of a type of open file, as Linux's `file_operations`. The default of each throws the errno that Linux
/// returns where the operation is missing.
protocol FileOperations: AnyObject {
    var kind: MockOpenFile.Kind { get }
    /// Whether it has no position: `pread` and `pwrite` throw `ESPIPE`.
    var isStream: Bool { get }
    /// The size that `lseek` returns.
    func size() throws(Errno) -> UInt64
    /// `read` and `pread`.
    ///
    /// - Parameter position: Where to read; advanced by the number of bytes.
    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int

    /// `write` and `pwrite`.
    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int
    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int
    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer
    /// Makes its descriptor readable; `nil` for files that are not polled.
    var readiness: Readiness? { get }
    /// Its own lines of `/proc/self/fdinfo/N`.
    func information(_ file: OpenFile) -> String
    func opened(as file: OpenFile)
    /// The last reference to the file was dropped.
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
