internal import CVFIO
internal import Glibc
public import SystemPackage

/// The Linux kernel that the process runs on.
public struct HostKernel: Kernel {
    public init() {}

    public var pageSize: Int { Int(sysconf(Int32(_SC_PAGESIZE))) }

    // MARK: Descriptors

    public func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try call { unsafe path.withPlatformString { unsafe Int64(cvfio_sys_open($0, mode.rawValue)) } }
        )
    }

    public func close(_ descriptor: FileDescriptor) throws(Errno) {
        _ = try call { Int64(cvfio_sys_close(descriptor.rawValue)) } as Int
    }

    public func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        FileDescriptor(rawValue: try call { Int64(cvfio_sys_duplicate(descriptor.rawValue)) })
    }

    public func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        UInt64(try call { cvfio_sys_seek(descriptor.rawValue, 0, SEEK_END) } as Int)
    }

    public func read(
        _ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        return try call { unsafe cvfio_sys_read(descriptor.rawValue, base, buffer.count) }
    }

    public func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        return try call { unsafe cvfio_sys_write(descriptor.rawValue, base, buffer.count) }
    }

    public func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        return try call {
            unsafe cvfio_sys_pread(descriptor.rawValue, base, buffer.count, Int64(bitPattern: offset))
        }
    }

    public func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        return try call {
            unsafe cvfio_sys_pwrite(descriptor.rawValue, base, buffer.count, Int64(bitPattern: offset))
        }
    }

    // MARK: Requests

    public func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try call { unsafe cvfio_sys_ioctl(descriptor.rawValue, request, argument.baseAddress) }
    }

    public func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try call { cvfio_sys_ioctl_value(descriptor.rawValue, request, value) }
    }

    // MARK: Memory

    public func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        var protection = PROT_NONE
        if request.isReadable { protection |= PROT_READ }
        if request.isWritable { protection |= PROT_WRITE }
        var flags: Int32
        var descriptor: Int32 = -1
        var offset: UInt64 = 0
        switch request.source {
        case .anonymous(let hugePageSize):
            flags = Int32(MAP_PRIVATE | MAP_ANONYMOUS)
            if let hugePageSize {
                // The size is passed as its logarithm, in the bits at MAP_HUGE_SHIFT.
                flags |= Int32(MAP_HUGETLB) | Int32(hugePageSize.trailingZeroBitCount) << Int32(MAP_HUGE_SHIFT)
            }
        case .file(let file, let fileOffset):
            flags = Int32(MAP_SHARED)
            descriptor = file.rawValue
            offset = fileOffset
        }
        if request.fixedAddress != nil { flags |= Int32(MAP_FIXED_NOREPLACE) }
        var result: UnsafeMutableRawPointer?
        let status = unsafe cvfio_sys_mmap(
            request.fixedAddress.flatMap { unsafe UnsafeMutableRawPointer(bitPattern: $0) },
            request.byteCount, protection, flags, descriptor, Int64(bitPattern: offset), &result)
        guard status == 0, let result = unsafe result else { throw Errno(rawValue: -status) }
        return unsafe result
    }

    public func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        guard let base = memory.baseAddress else { return }
        _ = try call { unsafe Int64(cvfio_sys_munmap(base, memory.count)) } as Int
    }

    // MARK: Events

    public func makeEvent() throws(Errno) -> FileDescriptor {
        FileDescriptor(rawValue: try call { Int64(cvfio_sys_eventfd()) })
    }

    public func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        let result = cvfio_sys_poll_readable(descriptor.rawValue, timeout ?? -1)
        if result == -EINTR { return false }
        guard result >= 0 else { throw Errno(rawValue: -result) }
        return result == 1
    }

    /// Makes a descriptor that is readable while one of those added to it is (`epoll(7)`). It does not hold their
    /// files.
    ///
    /// Like Dispatch, `epoll` is no part of ``Kernel``: the descriptors of every kernel are the process's.
    package func makePollSet() throws(Errno) -> FileDescriptor {
        FileDescriptor(rawValue: try call { Int64(cvfio_sys_epoll()) })
    }

    /// Adds a descriptor to a poll set.
    package func add(_ descriptor: FileDescriptor, to set: FileDescriptor, tag: UInt64) throws(Errno) {
        _ = try call { Int64(cvfio_sys_epoll_add(set.rawValue, descriptor.rawValue, tag)) } as Int
    }

    /// Removes a descriptor from a poll set.
    package func remove(_ descriptor: FileDescriptor, from set: FileDescriptor) throws(Errno) {
        _ = try call { Int64(cvfio_sys_epoll_remove(set.rawValue, descriptor.rawValue)) } as Int
    }

    /// Returns the tags of those descriptors of a poll set that are readable, at most 16 at a time: the kernel begins
    /// with others the next time. Does not wait.
    package func readable(in set: FileDescriptor) throws(Errno) -> [UInt64] {
        let most = 16
        var tags = [UInt64](repeating: 0, count: most)
        let count: Int = try call {
            unsafe tags.withUnsafeMutableBufferPointer { tags in
                Int64(unsafe cvfio_sys_epoll_ready(set.rawValue, tags.baseAddress!, Int32(most)))
            }
        }
        return Array(tags[..<count])
    }

    /// Makes a poll set with one descriptor.
    ///
    /// It is for Dispatch, which may use a descriptor for a while after its source was cancelled.
    package func makePollSet(of descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        let set = try makePollSet()
        do throws(Errno) {
            try add(descriptor, to: set, tag: 0)
        } catch {
            try? close(set)
            throw error
        }
        return set
    }

    // MARK: Other processes

    public func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        _ = try call { Int64(cvfio_sys_send_descriptor(socket.rawValue, descriptor.rawValue)) } as Int
    }

    public func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        FileDescriptor(rawValue: try call { Int64(cvfio_sys_receive_descriptor(socket.rawValue)) })
    }

    // MARK: sysfs

    public func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        let target = try unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) {
            (target) throws(Errno) -> String in
            let count: Int = try call {
                unsafe path.withPlatformString { unsafe cvfio_sys_readlink($0, target.baseAddress!, target.count) }
            }
            return unsafe String(
                decoding: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(target)[..<count]), as: UTF8.self)
        }
        return FilePath(target)
    }

    public func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        let file = try open(path, .readOnly)
        var bytes: [UInt8] = []
        var failure: Errno?
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
        defer { unsafe chunk.deallocate() }
        do throws(Errno) {
            while case let count = try unsafe read(file, into: chunk), count > 0 {
                unsafe bytes += chunk[..<count]
            }
        } catch {
            failure = error
        }
        return try closing(file, after: failure, with: bytes)
    }

    public func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        let file = try open(path, .writeOnly)
        var failure: Errno?
        do throws(Errno) {
            let count = try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) -> Int in
                try unsafe write(file, from: buffer)
            }
            // sysfs writes an attribute in one piece, so a partial write is a failure.
            if count != bytes.count { failure = .ioError }
        } catch {
            failure = error
        }
        try closing(file, after: failure, with: ())
    }

    /// Closes a file and returns the result, or throws the first failure.
    private func closing<Result>(
        _ file: FileDescriptor, after failure: Errno?, with result: Result
    ) throws(Errno) -> Result {
        if let failure {
            try? close(file)
            throw failure
        }
        try close(file)
        return result
    }

    public func names(in folder: FilePath) throws(Errno) -> [String] {
        var opened: UnsafeMutableRawPointer?
        let status = unsafe folder.withPlatformString { unsafe cvfio_sys_opendir($0, &opened) }
        guard status == 0, let directory = unsafe opened else { throw Errno(rawValue: -status) }
        var names: [String] = []
        var result: Int32 = 0
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(NAME_MAX) + 1) { name in
            repeat {
                result = unsafe cvfio_sys_readdir(directory, name.baseAddress!, name.count)
                if result == 1 {
                    let entry = unsafe String(cString: name.baseAddress!)
                    if entry != "." && entry != ".." { names.append(entry) }
                }
            } while result == 1
        }
        let closed = unsafe cvfio_sys_closedir(directory)
        guard result == 0, closed == 0 else { throw Errno(rawValue: result < 0 ? -result : -closed) }
        return names.sorted()
    }

    // MARK: Limits

    public func memoryLockLimit() throws(Errno) -> UInt64? {
        var limit: UInt64 = 0
        let status = unsafe cvfio_sys_memlock_limit(&limit)
        guard status == 0 else { throw Errno(rawValue: -status) }
        return limit == .max ? nil : limit
    }

    // MARK: -

    /// Makes a call that returns a result or a negative errno, and repeats it on `EINTR`.
    @inline(__always)
    private func call<Result: FixedWidthInteger>(_ body: () -> Int64) throws(Errno) -> Result {
        while true {
            let result = body()
            if result >= 0 { return Result(result) }
            if result != -Int64(EINTR) { throw Errno(rawValue: Int32(-result)) }
        }
    }
}
