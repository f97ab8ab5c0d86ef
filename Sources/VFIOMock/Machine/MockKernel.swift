internal import Glibc
public import SystemPackage
public import VFIO

/// A kernel in memory, which answers the calls of the library as Linux does. A ``MockMachine`` makes it.
///
/// Its descriptors and memory are those of this process, so `epoll`, Dispatch, loads and stores work on them. Calls on
/// other descriptors, such as sockets, go to Linux.
public struct MockKernel: Kernel {
    private let machine: MockMachine

    init(_ machine: MockMachine) { self.machine = machine }

    /// Makes a call, unless a failure is planned.
    private func call<Result>(
        _ call: MockCall, request: UInt? = nil, _ body: (Machine) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try machine.locked { (machine) throws(Errno) -> Result in
            try machine.core.begin(call, request: request)
            return try body(machine)
        }
    }

    /// Makes a call on a descriptor, unless a failure is planned. Calls on files of the host may block, and run without
    /// the lock.
    private func call<Result>(
        _ call: MockCall, _ descriptor: FileDescriptor, request: UInt? = nil,
        _ body: (OpenFile) throws(Errno) -> Result, host: (HostKernel) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        let own = try self.call(call, request: request) { (machine) throws(Errno) -> Result? in
            guard let file = machine.core.file(descriptor) else { return nil }
            return try body(file)
        }
        if let own { return own }
        return try host(HostKernel())
    }

    /// Notes that a new descriptor is not one of the mock's files.
    private func forget(_ descriptor: FileDescriptor) -> FileDescriptor {
        machine.locked { $0.core.forget(descriptor.rawValue) }
        return descriptor
    }

    // MARK: Descriptors

    public func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try call(.open) { (machine) throws(Errno) in try machine.open(path, mode) }
    }

    public func close(_ descriptor: FileDescriptor) throws(Errno) {
        try machine.locked { (machine) throws(Errno) in
            var failure: Errno?
            do throws(Errno) { try machine.core.begin(.close) } catch { failure = error }
            // The look-up registers a duplicate that was made without the seam.
            _ = machine.core.file(descriptor)
            // The number is free afterwards, whatever the close returns.
            defer { machine.core.forget(descriptor.rawValue) }
            try machine.core.host.close(descriptor)
            if let failure { throw failure }
        }
    }

    public func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try call(.dup) { (machine) throws(Errno) in
            let file = machine.core.file(descriptor)
            let copy = try machine.core.host.duplicate(descriptor)
            if let file { machine.core.register(copy.rawValue, file) } else { machine.core.forget(copy.rawValue) }
            return copy
        }
    }

    public func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        try call(
            .lseek, descriptor, { (file) throws(Errno) in try file.operations.size() },
            host: { (host) throws(Errno) in try host.size(of: descriptor) })
    }

    public func read(
        _ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try call(
            .read, descriptor, { (file) throws(Errno) in try unsafe file.read(into: UserBuffer(buffer)) },
            host: { (host) throws(Errno) in try unsafe host.read(descriptor, into: buffer) })
    }

    public func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        // A file of the host may be an eventfd that the kernel waits for.
        defer { machine.locked { $0.core.serveEvents() } }
        return try call(
            .write, descriptor, { (file) throws(Errno) in try unsafe file.write(from: UserBuffer(buffer)) },
            host: { (host) throws(Errno) in try unsafe host.write(descriptor, from: buffer) })
    }

    public func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try call(
            .pread, descriptor, { (file) throws(Errno) in try unsafe file.read(into: UserBuffer(buffer), at: offset) },
            host: { (host) throws(Errno) in try unsafe host.read(descriptor, at: offset, into: buffer) })
    }

    public func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try call(
            .pwrite, descriptor,
            { (file) throws(Errno) in try unsafe file.write(from: UserBuffer(buffer), at: offset) },
            host: { (host) throws(Errno) in try unsafe host.write(descriptor, at: offset, from: buffer) })
    }

    // MARK: Requests

    public func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try call(
            .ioctl, descriptor, request: request,
            { (file) throws(Errno) in try unsafe file.operations.control(request, Argument(argument)) },
            host: { (host) throws(Errno) in try unsafe host.control(descriptor, request, argument) })
    }

    public func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try call(
            .ioctl, descriptor, request: request,
            { (file) throws(Errno) in try file.operations.control(request, Argument(value: value)) },
            host: { (host) throws(Errno) in try host.control(descriptor, request, value: value) })
    }

    // MARK: Memory

    public func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        try unsafe call(.mmap) { (machine) throws(Errno) in try unsafe machine.map(request) }
    }

    public func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        try call(.munmap) { (machine) throws(Errno) in try unsafe machine.memory.unmap(memory) }
    }

    public var pageSize: Int { HostKernel().pageSize }

    // MARK: Events

    public func makeEvent() throws(Errno) -> FileDescriptor {
        forget(try call(.eventfd) { (machine) throws(Errno) in try machine.core.host.makeEvent() })
    }

    public func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try call(.poll) { (_) throws(Errno) in }
        return try HostKernel().waitUntilReadable(descriptor, timeout: timeout)
    }

    // MARK: Other processes

    public func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        // A full socket blocks until another thread receives, which requires the lock.
        let file = try call(.sendmsg) { (machine) throws(Errno) in
            let file = machine.core.file(descriptor)
            file?.inFlight += 1
            return file
        }
        do throws(Errno) {
            try HostKernel().send(descriptor, over: socket)
        } catch {
            machine.locked { machine in
                // Unless it was counted as received: see `file(_:)`.
                guard let file, file.inFlight > 0 else { return }
                file.inFlight -= 1
                machine.core.releaseIfUnused(file)
            }
            throw error
        }
    }

    public func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try call(.recvmsg) { (_) throws(Errno) in }
        let descriptor = forget(try HostKernel().receiveDescriptor(from: socket))
        // The look-up registers the descriptor.
        machine.locked { _ = $0.core.file(descriptor) }
        return descriptor
    }

    // MARK: sysfs

    public func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try call(.readlink) { (machine) throws(Errno) in
            if let node = machine.descriptorTarget(path) { return FilePath(node) }
            guard Sysfs.covers(path) else { return try machine.core.host.readLink(path) }
            return FilePath(try machine.bus.sysfs.link(path))
        }
    }

    public func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        try call(.readFile) { (machine) throws(Errno) in
            if let information = machine.descriptorInformation(path) { return information }
            guard Sysfs.covers(path) else { return try machine.core.host.readFile(path) }
            return try machine.bus.sysfs.contents(path)
        }
    }

    public func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        try call(.writeFile) { (machine) throws(Errno) in }
        while true {
            let isDone = try machine.locked { (machine) throws(Errno) -> Bool in
                guard Sysfs.covers(path) else {
                    try machine.core.host.writeFile(path, bytes)
                    return true
                }
                return try machine.bus.sysfs.write(path, bytes)
            }
            if isDone { return }
            // As in the kernel, the unbind of an open device blocks.
            usleep(1000)
        }
    }

    public func names(in folder: FilePath) throws(Errno) -> [String] {
        try call(.readdir) { (machine) throws(Errno) in
            guard Sysfs.covers(folder) else { return try machine.core.host.names(in: folder) }
            return try machine.bus.sysfs.names(folder)
        }
    }

    // MARK: Limits

    public func memoryLockLimit() throws(Errno) -> UInt64? {
        try call(.getrlimit) { (machine) throws(Errno) in machine.memory.lockLimit }
    }
}
