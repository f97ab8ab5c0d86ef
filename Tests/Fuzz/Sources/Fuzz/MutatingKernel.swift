import Synchronization
import SystemPackage
import VFIO

/// A kernel whose answers are changed: those of ioctls, of reads, and of files. Descriptors are left alone, since the
/// program would close those that are not its own.
struct MutatingKernel: Kernel {
    private final class State: Sendable {
        let input: Mutex<Input>
        init(_ input: Input) { self.input = Mutex(input) }
    }

    let base: any Kernel
    /// The whole of config space instead of the device's.
    var config: [UInt8]?
    private let state: State

    init(_ base: any Kernel, _ input: Input, config: [UInt8]? = nil) {
        self.base = base
        self.config = config
        state = State(input)
    }

    /// Changes up to three bytes, and each fourth answer or so.
    private func mutate(_ count: Int, _ change: (Int, UInt8) -> Void) {
        state.input.withLock { input in
            guard count > 0, !input.isEmpty, input.byte() & 3 == 0 else { return }
            for _ in 0...(input.byte() % 3) {
                let position = Int(input.number(UInt16.self)) % count
                change(position, input.byte())
            }
        }
    }

    /// The numbers of requests whose structures tell of new descriptors: `IOMMU_FAULT_QUEUE_ALLOC`, `_VEVENTQ_ALLOC`,
    /// `VFIO_DEVICE_FEATURE` (migration).
    private static let descriptorRequests: Set<UInt> = [0x3b8e, 0x3b93, 0x3b75]

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let result = try base.control(descriptor, request, argument)
        if !Self.descriptorRequests.contains(request) { mutate(argument.count) { argument[$0] = $1 } }
        return result
    }

    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let count = try base.read(descriptor, at: offset, into: buffer)
        if let config, offset >> 40 == 7 {
            for index in buffer.indices {
                let place = Int(truncatingIfNeeded: offset & 0xff_ffff_ffff) + index
                buffer[index] = config.indices.contains(place) ? config[place] : 0
            }
        }
        mutate(count) { buffer[$0] = $1 }
        return count
    }

    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        var bytes = try base.readFile(path)
        mutate(bytes.count) { bytes[$0] = $1 }
        return bytes
    }

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try base.open(path, mode)
    }
    func close(_ descriptor: FileDescriptor) throws(Errno) { try base.close(descriptor) }
    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor { try base.duplicate(descriptor) }
    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 { try base.size(of: descriptor) }
    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try base.read(descriptor, into: buffer)
    }
    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        try base.write(descriptor, from: buffer)
    }
    func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int { try base.write(descriptor, at: offset, from: buffer) }
    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try base.control(descriptor, request, value: value)
    }
    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer { try base.map(request) }
    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) { try base.unmap(memory) }
    var pageSize: Int { base.pageSize }
    func makeEvent() throws(Errno) -> FileDescriptor { try base.makeEvent() }
    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try base.waitUntilReadable(descriptor, timeout: timeout)
    }
    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        try base.send(descriptor, over: socket)
    }
    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try base.receiveDescriptor(from: socket)
    }
    func readLink(_ path: FilePath) throws(Errno) -> FilePath { try base.readLink(path) }
    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) { try base.writeFile(path, bytes) }
    func names(in folder: FilePath) throws(Errno) -> [String] { try base.names(in: folder) }
    func memoryLockLimit() throws(Errno) -> UInt64? { try base.memoryLockLimit() }
}
