import Synchronization

/// A kernel that hands each call on, and keeps book of descriptors and of memory: who opens has to close, once.
final class Ledger: ForwardingKernel {
    let kernel: any Kernel
    private let books = Mutex(Books())

    private struct Books {
        var descriptors: [Int32: String] = [:]
        var memory: [UInt: Int] = [:]
        var complaints: [String] = []
    }

    /// Nodes that stand for others.
    private let aliases: [FilePath: FilePath]

    init(_ kernel: any Kernel, aliases: [FilePath: FilePath] = [:]) {
        self.kernel = kernel
        self.aliases = aliases
    }

    /// Everything that was opened is closed. What another thread is about to close gets a little time.
    func expectBalance(_ sourceLocation: SourceLocation) {
        _ = try? eventually { books.withLock { $0.descriptors.isEmpty && $0.memory.isEmpty } }
        let end = books.withLock { $0 }
        #expect(end.descriptors.isEmpty, "descriptors left open", sourceLocation: sourceLocation)
        #expect(end.memory.isEmpty, "memory left mapped", sourceLocation: sourceLocation)
        #expect(end.complaints.isEmpty, sourceLocation: sourceLocation)
    }

    /// What is open now.
    var openDescriptors: [String] { books.withLock { $0.descriptors.values.sorted() } }

    /// Whether memory is mapped now.
    var hasMemory: Bool { books.withLock { !$0.memory.isEmpty } }

    private func opened(_ descriptor: FileDescriptor, _ name: String) -> FileDescriptor {
        books.withLock { $0.descriptors[descriptor.rawValue] = name }
        return descriptor
    }

    // MARK: Descriptors

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        opened(try kernel.open(aliases[path] ?? path, mode), path.string)
    }

    func close(_ descriptor: FileDescriptor) throws(Errno) {
        // Out of the books first: once it is closed, another thread may get the same number.
        books.withLock { books in
            if books.descriptors.removeValue(forKey: descriptor.rawValue) == nil {
                books.complaints.append("\(descriptor) was closed, and was not open")
            }
        }
        try kernel.close(descriptor)
    }

    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        opened(try kernel.duplicate(descriptor), "a duplicate of \(descriptor.rawValue)")
    }

    // MARK: Requests

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let makesDescriptor =
            switch request {
            case CVFIO_GROUP_GET_DEVICE_FD, CVFIO_DEVICE_GET_GFX_DMABUF: true
            case CVFIO_DEVICE_FEATURE: Self.exports(argument.load(fromByteOffset: 4, as: UInt32.self))
            default: false
            }
        let result = try kernel.control(descriptor, request, argument)
        if request == CIOMMU_FAULT_QUEUE_ALLOC {
            _ = opened(FileDescriptor(rawValue: argument.load(fromByteOffset: 12, as: Int32.self)), "a fault queue")
        }
        if request == CIOMMU_VEVENTQ_ALLOC {
            _ = opened(FileDescriptor(rawValue: argument.load(fromByteOffset: 24, as: Int32.self)), "a queue of events")
        }
        if request == CVFIO_DEVICE_FEATURE, let stream = Self.stream(argument) {
            _ = opened(FileDescriptor(rawValue: stream), "a migration stream")
        }
        if request == CKVM_CREATE_DEVICE,
            argument.load(fromByteOffset: 8, as: UInt32.self) & CKVM_CREATE_DEVICE_TEST == 0
        {
            _ = opened(FileDescriptor(rawValue: argument.load(fromByteOffset: 4, as: Int32.self)), "a kvm-vfio device")
        }
        if makesDescriptor { _ = opened(FileDescriptor(rawValue: Int32(result)), "request \(request)") }
        return result
    }

    private static func exports(_ flags: UInt32) -> Bool {
        flags & CVFIO_DEVICE_FEATURE_MASK == CVFIO_DEVICE_FEATURE_DMA_BUF
            && flags & (CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_PROBE) == CVFIO_DEVICE_FEATURE_GET
    }

    /// The stream that a change of the migration state began, whose descriptor is in the answer.
    private static func stream(_ argument: UnsafeMutableRawBufferPointer) -> Int32? {
        let flags = argument.load(fromByteOffset: 4, as: UInt32.self)
        guard flags == CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, argument.count >= 16 else {
            return nil
        }
        let number = argument.load(fromByteOffset: 12, as: Int32.self)
        return number >= 0 ? number : nil
    }

    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        let result = try kernel.control(descriptor, request, value: value)
        if request == CKVM_CREATE_VM { _ = opened(FileDescriptor(rawValue: Int32(result)), "a virtual machine") }
        return result
    }

    // MARK: Memory

    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        let base = try kernel.map(request)
        books.withLock { $0.memory[UInt(bitPattern: base)] = request.byteCount }
        return base
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        let base = UInt(bitPattern: memory.baseAddress)
        books.withLock { books in
            let known = books.memory.removeValue(forKey: base)
            // A BAR smaller than a page is unmapped by its own length, which the kernel rounds up.
            if known == nil || known! < memory.count || known! - memory.count >= kernel.pageSize {
                books.complaints.append("\(memory.count) bytes were unmapped, and \(known ?? 0) were mapped there")
            }
        }
        try kernel.unmap(memory)
    }

    // MARK: Events, other processes

    func makeEvent() throws(Errno) -> FileDescriptor { opened(try kernel.makeEvent(), "an event") }

    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        opened(try kernel.receiveDescriptor(from: socket), "received from \(socket.rawValue)")
    }
}
