internal import Glibc
public import SystemPackage
public import VFIO

/// A kernel in memory: it answers the calls of the library as Linux would. Made by a ``MockMachine``.
///
/// Its descriptors are descriptors of this process, and its memory is memory of this process, so `epoll`, Dispatch and
/// plain loads and stores work on them. Descriptors that are not its own, such as sockets, it hands to Linux.
public struct MockKernel: Kernel {
    private let machine: MockMachine

    init(_ machine: MockMachine) { self.machine = machine }

    /// Makes a call, unless it is to fail.
    private func call<Result>(
        _ call: MockCall, request: UInt? = nil, _ body: (Core) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try machine.locked { (core) throws(Errno) -> Result in
            try core.begin(call, request: request)
            return try body(core)
        }
    }

    // MARK: Descriptors

    public func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try call(.open) { (core) throws(Errno) in try core.open(path, mode) }
    }

    public func close(_ descriptor: FileDescriptor) throws(Errno) {
        try machine.locked { (core) throws(Errno) in
            var failure: Errno?
            do throws(Errno) { try core.begin(.close) } catch { failure = error }
            if let file = core.file(descriptor) {
                try core.host.close(descriptor)
                core.drop(descriptor.rawValue, file)
            } else {
                try core.host.close(descriptor)
            }
            if let failure { throw failure }
        }
    }

    public func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try call(.dup) { (core) throws(Errno) in
            let file = core.file(descriptor)
            let copy = try core.host.duplicate(descriptor)
            if let file { core.register(copy.rawValue, file) }
            return copy
        }
    }

    public func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        try call(.lseek) { (core) throws(Errno) in
            guard let file = core.file(descriptor) else { return try core.host.size(of: descriptor) }
            switch file.object {
            case .dmaBuf(let buffer): return buffer.byteCount
            case .picture(let picture): return picture.byteCount
            default: throw .illegalSeek
            }
        }
    }

    public func read(
        _ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        // Reads of other descriptors may block, so they go without the lock.
        let own = try call(.read) { (core) throws(Errno) -> Int? in
            guard let file = core.file(descriptor) else { return nil }
            if case .faultQueue(let queue) = file.object { return try unsafe queue.read(into: buffer) }
            if case .eventQueue(let queue) = file.object { return try unsafe queue.read(into: buffer) }
            if case .migration(let stream) = file.object { return try unsafe stream.read(into: buffer) }
            guard case .device(let device) = file.object else { throw .invalidArgument }
            let count = try unsafe core.access(device, file.position, buffer, isWrite: false)
            file.position += UInt64(count)
            return count
        }
        if let own { return own }
        return try unsafe HostKernel().read(descriptor, into: buffer)
    }

    public func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        let own = try call(.write) { (core) throws(Errno) -> Int? in
            guard let file = core.file(descriptor) else { return nil }
            if case .migration(let stream) = file.object { return try unsafe stream.write(buffer) }
            if case .faultQueue(let queue) = file.object { return try unsafe queue.write(buffer, core) }
            guard case .device(let device) = file.object else { throw .invalidArgument }
            let count = try unsafe core.access(
                device, file.position, UnsafeMutableRawBufferPointer(mutating: buffer), isWrite: true)
            file.position += UInt64(count)
            return count
        }
        if let own { return own }
        let count = try unsafe HostKernel().write(descriptor, from: buffer)
        // It may have been an eventfd that the kernel waits for.
        machine.locked { $0.serveEvents() }
        return count
    }

    public func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try call(.pread) { (core) throws(Errno) in
            guard let file = core.file(descriptor) else {
                return try unsafe core.host.read(descriptor, at: offset, into: buffer)
            }
            let device = try file.seekableDevice()
            return try unsafe core.access(device, offset, buffer, isWrite: false)
        }
    }

    public func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try call(.pwrite) { (core) throws(Errno) in
            guard let file = core.file(descriptor) else {
                return try unsafe core.host.write(descriptor, at: offset, from: buffer)
            }
            let device = try file.seekableDevice()
            return try unsafe core.access(
                device, offset, UnsafeMutableRawBufferPointer(mutating: buffer), isWrite: true)
        }
    }

    // MARK: Requests

    public func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let own = try call(.ioctl, request: request) { (core) throws(Errno) -> Int? in
            guard let file = core.file(descriptor) else { return nil }
            return try unsafe core.control(file, request, Argument(argument))
        }
        if let own { return own }
        return try unsafe HostKernel().control(descriptor, request, argument)
    }

    public func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        let own = try call(.ioctl, request: request) { (core) throws(Errno) -> Int? in
            guard let file = core.file(descriptor) else { return nil }
            return try core.control(file, request, Argument(value: value))
        }
        if let own { return own }
        return try HostKernel().control(descriptor, request, value: value)
    }

    // MARK: Memory

    public func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        try unsafe call(.mmap) { (core) throws(Errno) in try unsafe core.map(request) }
    }

    public func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        try call(.munmap) { (core) throws(Errno) in try unsafe core.unmap(memory) }
    }

    public var pageSize: Int { HostKernel().pageSize }

    // MARK: Events

    public func makeEvent() throws(Errno) -> FileDescriptor {
        try call(.eventfd) { (core) throws(Errno) in try core.host.makeEvent() }
    }

    public func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try call(.poll) { (core) throws(Errno) in }
        return try HostKernel().waitUntilReadable(descriptor, timeout: timeout)
    }

    // MARK: Other processes

    public func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        // A full socket blocks until somebody receives, who needs the lock too.
        let file = try call(.sendmsg) { (core) throws(Errno) in
            let file = core.file(descriptor)
            file?.inFlight += 1
            return file
        }
        do throws(Errno) {
            try HostKernel().send(descriptor, over: socket)
        } catch {
            machine.locked { core in
                // Unless it was taken for one that has arrived: see `file(_:)`.
                guard let file, file.inFlight > 0 else { return }
                file.inFlight -= 1
                core.releaseIfUnused(file)
            }
            throw error
        }
    }

    public func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try call(.recvmsg) { (core) throws(Errno) in }
        let descriptor = try HostKernel().receiveDescriptor(from: socket)
        // The look-up alone makes the new descriptor known.
        machine.locked { core in _ = core.file(descriptor) }
        return descriptor
    }

    // MARK: sysfs

    public func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try call(.readlink) { (core) throws(Errno) in
            guard Sysfs.covers(path) else { return try core.host.readLink(path) }
            return FilePath(try core.sysfs.link(path))
        }
    }

    public func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        try call(.readFile) { (core) throws(Errno) in
            if let information = core.descriptorInformation(path) { return information }
            guard Sysfs.covers(path) else { return try core.host.readFile(path) }
            return try core.sysfs.contents(path)
        }
    }

    public func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        try call(.writeFile) { (core) throws(Errno) in }
        while true {
            let isDone = try machine.locked { (core) throws(Errno) -> Bool in
                guard Sysfs.covers(path) else {
                    try core.host.writeFile(path, bytes)
                    return true
                }
                return try core.sysfs.write(path, bytes)
            }
            if isDone { return }
            // As in the kernel, who unbinds a device that is open waits until it is not.
            usleep(1000)
        }
    }

    public func names(in folder: FilePath) throws(Errno) -> [String] {
        try call(.readdir) { (core) throws(Errno) in
            guard Sysfs.covers(folder) else { return try core.host.names(in: folder) }
            return try core.sysfs.names(folder)
        }
    }

    // MARK: Limits

    public func memoryLockLimit() throws(Errno) -> UInt64? {
        try call(.getrlimit) { (core) throws(Errno) in core.lockLimit }
    }
}
