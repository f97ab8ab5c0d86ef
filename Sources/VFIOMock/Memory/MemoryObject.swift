internal import CVFIOMock
internal import Glibc
import SystemPackage

/// A file in memory that the mock and the process under test share.
///
/// Both map the same file. The memory stays while the mock holds the object, as pinned pages and device memory outlive
/// `munmap`.
@safe final class MemoryObject {
    let byteCount: Int
    /// The size in bytes of the huge pages that it models; `nil` for ordinary ones.
    let hugePageSize: Int?
    private let base: UnsafeMutableRawPointer
    /// The file, while it can still be mapped.
    private var file: Int32

    /// Creates zeroed memory, a multiple of the page size. It uses a descriptor until `closeFile`.
    convenience init(name: String, byteCount: Int, hugePageSize: Int? = nil) throws(Errno) {
        let file = unsafe name.withCString { unsafe cmock_memory_file($0, UInt64(byteCount)) }
        guard file >= 0 else { throw Errno(rawValue: -file) }
        try self.init(file: file, at: 0, byteCount: byteCount, ownsFile: true, hugePageSize: hugePageSize)
    }

    /// Maps part of another owner's file in memory.
    ///
    /// - Parameter offset: A multiple of the page size.
    convenience init(file: Int32, at offset: UInt64, byteCount: Int) throws(Errno) {
        try self.init(file: file, at: offset, byteCount: byteCount, ownsFile: false, hugePageSize: nil)
    }

    private init(
        file: Int32, at offset: UInt64, byteCount: Int, ownsFile: Bool, hugePageSize: Int?
    ) throws(Errno) {
        let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, Int(offset))
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            let error = Errno(rawValue: Glibc.errno)
            if ownsFile { _ = Glibc.close(file) }
            throw error
        }
        unsafe base = unsafe mapped
        self.byteCount = byteCount
        self.hugePageSize = hugePageSize
        self.file = ownsFile ? file : -1
    }

    deinit {
        unsafe _ = munmap(base, byteCount)
        if file >= 0 { _ = Glibc.close(file) }
    }

    /// Maps a part for the process, at an address that is given or free.
    func map(
        at address: UnsafeMutableRawPointer?, offset: Int, byteCount: Int, protection: Int32
    ) throws(Errno) -> UnsafeMutableRawPointer {
        let flags = unsafe MAP_SHARED | (address == nil ? 0 : Int32(MAP_FIXED))
        let mapped = unsafe mmap(address, byteCount, protection, flags, file, offset)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw Errno(rawValue: Glibc.errno) }
        return unsafe mapped
    }

    /// Copies out of the memory. The range must be inside.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        precondition(offset >= 0 && offset + buffer.count <= byteCount)
        guard let target = buffer.baseAddress else { return }
        unsafe memcpy(target, base + offset, buffer.count)
    }

    /// Copies into the memory. The range must be inside.
    func write(at offset: Int, from buffer: UnsafeRawBufferPointer) {
        precondition(offset >= 0 && offset + buffer.count <= byteCount)
        guard let source = buffer.baseAddress else { return }
        unsafe memcpy(base + offset, source, buffer.count)
    }

    /// Closes the descriptor; no further mappings can be made.
    func closeFile() {
        if file >= 0 { _ = Glibc.close(file) }
        file = -1
    }
}
