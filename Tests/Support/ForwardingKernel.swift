package import SystemPackage
package import VFIO

/// A kernel that hands on to another one what it does not answer itself.
package protocol ForwardingKernel: Kernel {
    var kernel: any Kernel { get }

    /// Comes before each call that is handed on.
    func willCall(_ name: @autoclosure () -> String) throws(Errno)
}

extension ForwardingKernel {
    package func willCall(_ name: @autoclosure () -> String) throws(Errno) {}

    package func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try willCall("open \(path)")
        return try kernel.open(path, mode)
    }

    package func close(_ descriptor: FileDescriptor) throws(Errno) {
        try willCall("close")
        try kernel.close(descriptor)
    }

    package func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try willCall("dup")
        return try kernel.duplicate(descriptor)
    }

    package func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        try willCall("lseek")
        return try kernel.size(of: descriptor)
    }

    package func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try willCall("read")
        return try kernel.read(descriptor, into: buffer)
    }

    package func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        try willCall("write")
        return try kernel.write(descriptor, from: buffer)
    }

    package func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try willCall("pread")
        return try kernel.read(descriptor, at: offset, into: buffer)
    }

    package func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try willCall("pwrite")
        return try kernel.write(descriptor, at: offset, from: buffer)
    }

    package func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try willCall("ioctl 0x\(String(request, radix: 16))")
        return try kernel.control(descriptor, request, argument)
    }

    package func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try willCall("ioctl 0x\(String(request, radix: 16)) of \(value)")
        return try kernel.control(descriptor, request, value: value)
    }

    package func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        try willCall("mmap")
        return try kernel.map(request)
    }

    package func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        try willCall("munmap")
        try kernel.unmap(memory)
    }

    package var pageSize: Int { kernel.pageSize }

    package func makeEvent() throws(Errno) -> FileDescriptor {
        try willCall("eventfd")
        return try kernel.makeEvent()
    }

    package func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try willCall("poll")
        return try kernel.waitUntilReadable(descriptor, timeout: timeout)
    }

    package func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        try willCall("sendmsg")
        try kernel.send(descriptor, over: socket)
    }

    package func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try willCall("recvmsg")
        return try kernel.receiveDescriptor(from: socket)
    }

    package func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try willCall("readlink \(path)")
        return try kernel.readLink(path)
    }

    package func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        try willCall("readFile \(path)")
        return try kernel.readFile(path)
    }

    package func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        try willCall("writeFile \(path)")
        try kernel.writeFile(path, bytes)
    }

    package func names(in folder: FilePath) throws(Errno) -> [String] {
        try willCall("readdir \(folder)")
        return try kernel.names(in: folder)
    }

    package func memoryLockLimit() throws(Errno) -> UInt64? {
        try willCall("getrlimit")
        return try kernel.memoryLockLimit()
    }
}
