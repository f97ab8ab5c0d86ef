import CVFIO
import Synchronization
import SystemPackage
import VFIO

/// A kernel in which the n-th call fails, and every other one is handed on.
///
/// A call that fails has no effect, as when the kernel had no memory for it; except for the two that Linux carries out
/// whatever it answers, `close` and, since nothing is to be left over, `munmap`.
final class FailingKernel: Kernel {
    private let kernel: any Kernel
    private let target: Int
    private let state = Mutex(State())

    private struct State {
        var count = 0
        var failed: String?
        /// What each descriptor was opened as.
        var names: [Int32: String] = [:]
        /// The objects of iommufds that are address spaces.
        var addressSpaces: Set<UInt32> = []
    }

    /// What the call fails with: what the library itself never sees from these kernels otherwise.
    static let errno = Errno.noMemory

    /// - Parameter target: The number of the call, from 0.
    init(_ kernel: any Kernel, failing target: Int) {
        self.kernel = kernel
        self.target = target
    }

    /// The name of the call that failed; `nil` while there was none.
    var failed: String? { state.withLock { $0.failed } }

    /// Counts a call, and tells whether it is the one that fails.
    private func isTarget(_ name: @autoclosure () -> String) -> Bool {
        state.withLock { state in
            defer { state.count += 1 }
            guard state.count == target else { return false }
            state.failed = name()
            return true
        }
    }

    private func pass(_ name: @autoclosure () -> String) throws(Errno) {
        if isTarget(name()) { throw Self.errno }
    }

    private func opened(_ descriptor: FileDescriptor, _ name: String) -> FileDescriptor {
        state.withLock { $0.names[descriptor.rawValue] = name }
        return descriptor
    }

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try pass("open \(path)")
        return opened(try kernel.open(path, mode), path.string)
    }

    func close(_ descriptor: FileDescriptor) throws(Errno) {
        let name = state.withLock { $0.names.removeValue(forKey: descriptor.rawValue) }
        let fails = isTarget("close \(name ?? "of a descriptor that came from a request")")
        try kernel.close(descriptor)
        if fails { throw Self.errno }
    }

    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try pass("dup")
        return opened(try kernel.duplicate(descriptor), "of a duplicate")
    }

    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        try pass("lseek")
        return try kernel.size(of: descriptor)
    }

    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try pass("read")
        return try kernel.read(descriptor, into: buffer)
    }

    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        try pass("write")
        return try kernel.write(descriptor, from: buffer)
    }

    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try pass("pread")
        return try kernel.read(descriptor, at: offset, into: buffer)
    }

    func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try pass("pwrite")
        return try kernel.write(descriptor, at: offset, from: buffer)
    }

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        // Made before it is asked for, since that is done behind the lock.
        let name = name(request, argument)
        try pass(name)
        let result = try kernel.control(descriptor, request, argument)
        if request == CIOMMU_IOAS_ALLOC {
            state.withLock { _ = $0.addressSpaces.insert(argument.load(fromByteOffset: 8, as: UInt32.self)) }
        }
        return result
    }

    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try pass("ioctl 0x\(String(request, radix: 16)) of \(value)")
        return try kernel.control(descriptor, request, value: value)
    }

    /// The request's number, and what it is about where that is not all.
    private func name(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) -> String {
        let number = "ioctl 0x" + String(request, radix: 16)
        guard argument.count >= 8 else { return number }
        let word = argument.load(fromByteOffset: 4, as: UInt32.self)
        switch request {
        case CVFIO_DEVICE_FEATURE: return "\(number) feature \(word & CVFIO_DEVICE_FEATURE_MASK) flags \(word >> 16)"
        case CIOMMU_DESTROY:
            let isSpace = state.withLock { $0.addressSpaces.contains(word) }
            return "IOMMU_DESTROY of \(isSpace ? "an address space" : "object \(word)")"
        default: return number
        }
    }

    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        try pass("mmap")
        return try kernel.map(request)
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        let fails = isTarget("munmap")
        try kernel.unmap(memory)
        if fails { throw Self.errno }
    }

    var pageSize: Int { kernel.pageSize }

    func makeEvent() throws(Errno) -> FileDescriptor {
        try pass("eventfd")
        return opened(try kernel.makeEvent(), "of an event")
    }

    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try pass("poll")
        return try kernel.waitUntilReadable(descriptor, timeout: timeout)
    }

    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        try pass("sendmsg")
        try kernel.send(descriptor, over: socket)
    }

    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try pass("recvmsg")
        return try kernel.receiveDescriptor(from: socket)
    }

    func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try pass("readlink \(path)")
        return try kernel.readLink(path)
    }

    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        try pass("readFile \(path)")
        return try kernel.readFile(path)
    }

    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        try pass("writeFile \(path)")
        try kernel.writeFile(path, bytes)
    }

    func names(in folder: FilePath) throws(Errno) -> [String] {
        try pass("readdir \(folder)")
        return try kernel.names(in: folder)
    }

    func memoryLockLimit() throws(Errno) -> UInt64? {
        try pass("getrlimit")
        return try kernel.memoryLockLimit()
    }
}
