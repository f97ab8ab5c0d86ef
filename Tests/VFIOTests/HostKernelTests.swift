import Glibc
import Synchronization

@testable import VFIO

/// The kernel's seam over Linux itself, with files, pipes, sockets and event counters.
@Suite struct HostKernelTests {
    private let kernel = HostKernel()
    private let folder: Folder

    init() throws { folder = try Folder() }

    // MARK: Help

    /// A folder that is gone at the end, with the files that were put into it.
    private final class Folder {
        let path: FilePath

        init() throws {
            let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
            var template = Array("\(parent)/VFIOTests.XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
            path = FilePath(String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
        }

        deinit {
            for name in (try? HostKernel().names(in: path)) ?? [] {
                if unlink(path.appending(name).string) != 0 { rmdir(path.appending(name).string) }
            }
            rmdir(path.string)
        }

        func file(_ name: String, _ bytes: [UInt8] = []) throws -> FilePath {
            let file = try FileDescriptor.open(
                path.appending(name), .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll(bytes) }
            return path.appending(name)
        }
    }

    private func pair() throws -> (FileDescriptor, FileDescriptor) {
        var sockets: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &sockets) == 0 else { throw Errno(rawValue: errno) }
        return (FileDescriptor(rawValue: sockets[0]), FileDescriptor(rawValue: sockets[1]))
    }

    private func isCloseOnExec(_ descriptor: FileDescriptor) -> Bool {
        fcntl(descriptor.rawValue, F_GETFD) & FD_CLOEXEC != 0
    }

    private func read(_ descriptor: FileDescriptor, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let length = try bytes.withUnsafeMutableBytes { try kernel.read(descriptor, into: $0) }
        return Array(bytes[..<length])
    }

    private func write(_ descriptor: FileDescriptor, _ bytes: [UInt8]) throws -> Int {
        try bytes.withUnsafeBytes { try kernel.write(descriptor, from: $0) }
    }

    // MARK: Descriptors

    @Test func aNodeIsOpenedAndClosed() throws {
        let path = try Folder().file("node", [1, 2, 3])
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.open(path, .readOnly) }
        let descriptor = try kernel.open(try folder.file("node", [1, 2, 3]), .readOnly)
        #expect(isCloseOnExec(descriptor))
        #expect(try kernel.size(of: descriptor) == 3)
        #expect(throws: Errno.badFileDescriptor) { try write(descriptor, [1]) }
        try kernel.close(descriptor)
    }

    @Test func refusalsAreTheKernelsErrnos() throws {
        let file = try folder.file("file")
        let bad = FileDescriptor(rawValue: -1)
        #expect(throws: Errno.notDirectory) { try kernel.open(file.appending("x"), .readOnly) }
        #expect(throws: Errno.isDirectory) { try kernel.open(folder.path, .writeOnly) }
        #expect(throws: Errno.badFileDescriptor) { try kernel.close(bad) }
        #expect(throws: Errno.badFileDescriptor) { try kernel.duplicate(bad) }
        #expect(throws: Errno.badFileDescriptor) { try kernel.size(of: bad) }
        #expect(throws: Errno.badFileDescriptor) { try read(bad, 1) }
        #expect(throws: Errno.badFileDescriptor) { try kernel.control(bad, 0, value: 0) }
        #expect(throws: Errno.badFileDescriptor) {
            try kernel.waitUntilReadable(FileDescriptor(rawValue: 1 << 20), timeout: 0)
        }
        #expect(throws: Errno.badFileDescriptor) { try kernel.send(bad, over: bad) }
        #expect(throws: Errno.badFileDescriptor) { try kernel.receiveDescriptor(from: bad) }
        let descriptor = try kernel.open(file, .readWrite)
        #expect(throws: Errno.inappropriateIOCTLForDevice) { try kernel.control(descriptor, 0x3b64, value: 0) }
        var word: UInt64 = 0
        #expect(throws: Errno.inappropriateIOCTLForDevice) {
            try withUnsafeMutableBytes(of: &word) { (bytes) throws(Errno) in
                try kernel.control(descriptor, 0x3b64, bytes)
            }
        }
        #expect(throws: Errno.notSocket) { try kernel.send(descriptor, over: descriptor) }
        #expect(throws: Errno.notSocket) { try kernel.receiveDescriptor(from: descriptor) }
        try kernel.close(descriptor)
    }

    @Test func aPipeHasNoSize() throws {
        let pipe = try FileDescriptor.pipe()
        #expect(throws: Errno.illegalSeek) { try kernel.size(of: pipe.readEnd) }
        try pipe.readEnd.close()
        try pipe.writeEnd.close()
    }

    @Test func aCopyIsOfTheSameFile() throws {
        let file = try kernel.open(try folder.file("file", [1, 2, 3, 4]), .readOnly)
        let copy = try kernel.duplicate(file)
        #expect(copy != file)
        #expect(isCloseOnExec(copy))
        #expect(try read(file, 2) == [1, 2])
        #expect(try read(copy, 2) == [3, 4])
        try kernel.close(file)
        #expect(try kernel.size(of: copy) == 4)
        try kernel.close(copy)
    }

    @Test func accessAtOffsetsLeavesThePosition() throws {
        let file = try kernel.open(try folder.file("file", [1, 2, 3, 4]), .readWrite)
        var bytes: [UInt8] = [0, 0]
        let count = try bytes.withUnsafeMutableBytes { (buffer) throws(Errno) in
            try kernel.read(file, at: 3, into: buffer)
        }
        #expect(count == 1)
        #expect(bytes == [4, 0])
        let written = try [9 as UInt8].withUnsafeBytes { (buffer) throws(Errno) in
            try kernel.write(file, at: 1, from: buffer)
        }
        #expect(written == 1)
        #expect(try read(file, 8) == [1, 9, 3, 4])
        #expect(throws: Errno.invalidArgument) {
            try bytes.withUnsafeMutableBytes { (buffer) throws(Errno) in try kernel.read(file, at: .max, into: buffer) }
        }
        try kernel.close(file)
    }

    @Test func emptyBuffersAreNoCalls() throws {
        let nowhere = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        let bad = FileDescriptor(rawValue: -1)
        #expect(try kernel.read(bad, into: nowhere) == 0)
        #expect(try kernel.write(bad, from: UnsafeRawBufferPointer(nowhere)) == 0)
        #expect(try kernel.read(bad, at: 0, into: nowhere) == 0)
        #expect(try kernel.write(bad, at: 0, from: UnsafeRawBufferPointer(nowhere)) == 0)
        try kernel.unmap(nowhere)
    }

    // MARK: Memory

    @Test func memoryIsZeroedAndWritable() throws {
        let count = kernel.pageSize * 3
        let base = try kernel.map(MemoryMapRequest(byteCount: count, source: .anonymous(hugePageSize: nil)))
        let memory = UnsafeMutableRawBufferPointer(start: base, count: count)
        #expect(UInt(bitPattern: base) % UInt(kernel.pageSize) == 0)
        #expect(memory.allSatisfy { $0 == 0 })
        memory[count - 1] = 7
        #expect(memory[count - 1] == 7)
        try kernel.unmap(memory)
        #expect(mincore(base, count, UnsafeMutablePointer<UInt8>.allocate(capacity: 3)) == -1)
        #expect(errno == ENOMEM)
    }

    @Test func aFileIsMappedShared() throws {
        let page = kernel.pageSize
        let path = try folder.file("file", [UInt8](repeating: 1, count: 2 * page))
        let file = try kernel.open(path, .readWrite)
        let base = try kernel.map(MemoryMapRequest(byteCount: page, source: .file(file, offset: UInt64(page))))
        base.storeBytes(of: 7, as: UInt8.self)
        #expect(try kernel.readFile(path)[page] == 7)
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: base, count: page))
        #expect(throws: Errno.invalidArgument) {
            try kernel.map(MemoryMapRequest(byteCount: page, source: .file(file, offset: 1)))
        }
        #expect(throws: Errno.invalidArgument) {
            try kernel.map(MemoryMapRequest(byteCount: 0, source: .anonymous(hugePageSize: nil)))
        }
        #expect(throws: Errno.noMemory) {
            try kernel.map(MemoryMapRequest(byteCount: .max & ~0xfff, source: .anonymous(hugePageSize: nil)))
        }
        try kernel.close(file)
        let readOnly = try kernel.open(path, .readOnly)
        #expect(throws: Errno.permissionDenied) {
            try kernel.map(MemoryMapRequest(byteCount: page, source: .file(readOnly, offset: 0)))
        }
        let view = try kernel.map(
            MemoryMapRequest(byteCount: page, source: .file(readOnly, offset: 0), isWritable: false))
        #expect(view.load(as: UInt8.self) == 1)
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: view, count: page))
        try kernel.close(readOnly)
    }

    @Test func theLimitIsTheProcesss() throws {
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0)
        let expected = limit.rlim_cur == ~0 ? nil : UInt64(limit.rlim_cur)
        #expect(try kernel.memoryLockLimit() == expected)
    }

    // MARK: Events

    @Test func anEventCounts() throws {
        let event = try kernel.makeEvent()
        #expect(isCloseOnExec(event))
        #expect(throws: Errno.resourceTemporarilyUnavailable) { try read(event, 8) }
        #expect(try kernel.waitUntilReadable(event, timeout: 0) == false)
        for count in [1, 4] as [UInt64] {
            #expect(
                try withUnsafeBytes(of: count) { (bytes) throws(Errno) in try kernel.write(event, from: bytes) } == 8)
        }
        #expect(try kernel.waitUntilReadable(event, timeout: nil))
        #expect(try read(event, 8) == [5, 0, 0, 0, 0, 0, 0, 0])
        #expect(try kernel.waitUntilReadable(event, timeout: 1) == false)
        #expect(throws: Errno.invalidArgument) { try write(event, [1]) }
        try kernel.close(event)
    }

    @Test func aReadGoesOnAfterASignal() throws {
        let pipe = try FileDescriptor.pipe()
        let result = try interrupted(by: SIGURG) { [kernel] in
            var byte: UInt8 = 0
            do throws(Errno) {
                return try withUnsafeMutableBytes(of: &byte) { (bytes) throws(Errno) in
                    try kernel.read(pipe.readEnd, into: bytes)
                }
            } catch { return -Int(error.rawValue) }
        } release: {
            _ = try pipe.writeEnd.writeAll([7])
        }
        #expect(result == 1)
        try pipe.readEnd.close()
        try pipe.writeEnd.close()
    }

    @Test func aWaitMayEndEarlyAfterASignal() throws {
        let event = try kernel.makeEvent()
        let result = try interrupted(by: SIGWINCH) { [kernel] in
            do throws(Errno) { return try kernel.waitUntilReadable(event, timeout: 20_000) ? 1 : 0 } catch {
                return -Int(error.rawValue)
            }
        } release: {
        }
        #expect(result == 0)
        try kernel.close(event)
    }

    /// Runs a call in a thread of its own, sends that thread signals while it waits, and then lets the call end.
    ///
    /// Each test has a signal of its own, since the handlers are the process's.
    private func interrupted(
        by signal: Int32, _ body: @escaping @Sendable () -> Int, release: () throws -> Void
    ) throws -> Int {
        final class Job: Sendable {
            let body: @Sendable () -> Int
            let result = Mutex<Int?>(nil)
            init(_ body: @escaping @Sendable () -> Int) { self.body = body }
        }
        var action = sigaction()
        // Without SA_RESTART, so that a call that waits gives EINTR.
        action.__sigaction_handler.sa_handler = { _ in }
        var old = sigaction()
        #expect(sigaction(signal, &action, &old) == 0)
        let job = Job(body)
        var thread = pthread_t()
        let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            let job = Unmanaged<Job>.fromOpaque(argument!).takeRetainedValue()
            // A thread inherits its mask, and those of the tests have all signals blocked.
            var all = sigset_t()
            sigfillset(&all)
            pthread_sigmask(SIG_UNBLOCK, &all, nil)
            let result = job.body()
            job.result.withLock { $0 = result }
            return nil
        }
        #expect(pthread_create(&thread, nil, start, Unmanaged.passRetained(job).toOpaque()) == 0)
        for _ in 0..<10 {
            usleep(10_000)
            if job.result.withLock({ $0 != nil }) { break }
            pthread_kill(thread, signal)
        }
        try release()
        pthread_join(thread, nil)
        sigaction(signal, &old, nil)
        return try #require(job.result.withLock { $0 })
    }

    // MARK: Other processes

    @Test func aDescriptorGoesOverASocket() throws {
        let file = try kernel.open(try folder.file("file", [1, 2, 3]), .readOnly)
        let (here, there) = try pair()
        try kernel.send(file, over: here)
        try kernel.close(file)
        let received = try kernel.receiveDescriptor(from: there)
        #expect(isCloseOnExec(received))
        #expect(try read(received, 8) == [1, 2, 3])
        for descriptor in [received, here, there] { try kernel.close(descriptor) }
    }

    @Test func aMessageWithoutADescriptorIsENOMSG() throws {
        let (here, there) = try pair()
        #expect(try write(here, [1]) == 1)
        #expect(throws: Errno.noMessage) { try kernel.receiveDescriptor(from: there) }
        try kernel.close(here)
        try kernel.close(there)
    }

    @Test func aPeerThatHasGoneIsECONNRESET() throws {
        let (here, there) = try pair()
        try kernel.close(here)
        #expect(throws: Errno.connectionReset) { try kernel.receiveDescriptor(from: there) }
        let event = try kernel.makeEvent()
        // MSG_NOSIGNAL: an error, and not the end of the process.
        #expect(throws: Errno.brokenPipe) { try kernel.send(event, over: there) }
        try kernel.close(event)
        try kernel.close(there)
    }

    @Test func whatWasSentBeforeTheEndStillArrives() throws {
        let (here, there) = try pair()
        let event = try kernel.makeEvent()
        try kernel.send(event, over: here)
        try kernel.close(here)
        let received = try kernel.receiveDescriptor(from: there)
        #expect(throws: Errno.connectionReset) { try kernel.receiveDescriptor(from: there) }
        for descriptor in [event, received, there] { try kernel.close(descriptor) }
    }

    @Test(arguments: [2, 3, 10])
    func severalDescriptorsAreENOMSGAndClosed(_ count: Int) throws {
        let (here, there) = try pair()
        let pipe = try FileDescriptor.pipe()
        #expect(fcntl(pipe.readEnd.rawValue, F_SETFL, O_NONBLOCK) == 0)
        try send([FileDescriptor](repeating: pipe.writeEnd, count: count), over: here)
        try pipe.writeEnd.close()
        #expect(throws: Errno.noMessage) { try kernel.receiveDescriptor(from: there) }
        // When no writer is left, the read finds the end of the pipe; while one is, there is nothing to read yet.
        let isAtItsEnd = (try? read(pipe.readEnd, 1)) == []
        #expect(isAtItsEnd, "one of the descriptors is still open")
        for descriptor in [here, there, pipe.readEnd] { try kernel.close(descriptor) }
    }

    /// Sends several descriptors in one message, which the library itself never does.
    private func send(_ descriptors: [FileDescriptor], over socket: FileDescriptor) throws {
        let headerSize = MemoryLayout<cmsghdr>.size
        let length = headerSize + descriptors.count * MemoryLayout<Int32>.size
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: (length + 7) & ~7, alignment: 8)
        defer { control.deallocate() }
        control.initializeMemory(as: UInt8.self, repeating: 0)
        var header = cmsghdr()
        header.cmsg_len = length
        header.cmsg_level = SOL_SOCKET
        header.cmsg_type = Int32(SCM_RIGHTS)
        control.storeBytes(of: header, as: cmsghdr.self)
        for (index, descriptor) in descriptors.enumerated() {
            control.storeBytes(of: descriptor.rawValue, toByteOffset: headerSize + index * 4, as: Int32.self)
        }
        var byte: UInt8 = 0
        let sent = withUnsafeMutableBytes(of: &byte) { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: 1)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                return sendmsg(socket.rawValue, &message, 0)
            }
        }
        guard sent == 1 else { throw Errno(rawValue: errno) }
    }

    // MARK: sysfs

    @Test(arguments: [0, 1, 4095, 4096, 4097, 100_000]) func filesAreReadWhole(_ count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try kernel.readFile(try folder.file("file", bytes)) == bytes)
    }

    @Test func filesAreWritten() throws {
        let path = try folder.file("file")
        try kernel.writeFile(path, Array("vfio-pci".utf8))
        #expect(try kernel.readFile(path) == Array("vfio-pci".utf8))
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.writeFile(folder.path.appending("none"), [1]) }
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.readFile(folder.path.appending("none")) }
        #expect(throws: Errno.isDirectory) { try kernel.readFile(folder.path) }
        #expect(throws: Errno.noSpace) { try kernel.writeFile("/dev/full", [1]) }
        #expect(try kernel.readFile("/proc/self/comm").isEmpty == false)
    }

    @Test func linksAreReadButNotFollowed() throws {
        let link = folder.path.appending("link")
        let target = "../../../bus/pci/drivers/" + String(repeating: "x", count: 1000)
        #expect(symlink(target, link.string) == 0)
        #expect(try kernel.readLink(link) == FilePath(target))
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.readLink(folder.path.appending("none")) }
        #expect(throws: Errno.invalidArgument) { try kernel.readLink(try folder.file("file")) }
    }

    @Test func namesAreSortedAndWithoutTheDots() throws {
        #expect(try kernel.names(in: folder.path) == [])
        for name in ["b", ".hidden", "a", "0000:00:04.0", "é"] { _ = try folder.file(name) }
        #expect(try kernel.names(in: folder.path) == [".hidden", "0000:00:04.0", "a", "b", "é"])
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.names(in: folder.path.appending("none")) }
        #expect(throws: Errno.notDirectory) { try kernel.names(in: folder.path.appending("a")) }
    }

    @Test func nothingStaysOpen() async {
        // In a process of its own, where nobody else opens and closes descriptors.
        await #expect(processExitsWith: .success) {
            let kernel = HostKernel()
            let before = try kernel.names(in: "/proc/self/fd").count
            for _ in 0..<100 {
                _ = try kernel.readFile("/proc/self/comm")
                _ = try? kernel.readFile("/")
                _ = try? kernel.writeFile("/dev/full", [1])
                _ = try? kernel.names(in: "/proc/self/comm")
            }
            // The runner's own threads may open one or two meanwhile; a leak would be a hundred.
            #expect(try kernel.names(in: "/proc/self/fd").count < before + 50)
        }
    }
}
