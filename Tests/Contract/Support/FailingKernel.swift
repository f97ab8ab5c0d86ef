import Synchronization

/// A kernel in which the n-th call fails, and every other one is handed on.
///
/// A call that fails has no effect, as when the kernel had no memory for it; except for the two that Linux carries out
/// whatever it answers, `close` and, since nothing is to be left over, `munmap`.
final class FailingKernel: ForwardingKernel {
    let kernel: any Kernel
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

    func willCall(_ name: @autoclosure () -> String) throws(Errno) { if isTarget(name()) { throw Self.errno } }

    private func opened(_ descriptor: FileDescriptor, _ name: String) -> FileDescriptor {
        state.withLock { $0.names[descriptor.rawValue] = name }
        return descriptor
    }

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try willCall("open \(path)")
        return opened(try kernel.open(path, mode), path.string)
    }

    func close(_ descriptor: FileDescriptor) throws(Errno) {
        let name = state.withLock { $0.names.removeValue(forKey: descriptor.rawValue) }
        let fails = isTarget("close \(name ?? "of a descriptor that came from a request")")
        try kernel.close(descriptor)
        if fails { throw Self.errno }
    }

    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try willCall("dup")
        return opened(try kernel.duplicate(descriptor), "of a duplicate")
    }

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        // Made before it is asked for, since that is done behind the lock.
        let name = name(request, argument)
        try willCall(name)
        let result = try kernel.control(descriptor, request, argument)
        if request == CIOMMU_IOAS_ALLOC {
            state.withLock { _ = $0.addressSpaces.insert(argument.load(fromByteOffset: 8, as: UInt32.self)) }
        }
        return result
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

    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try willCall("pread of \(buffer.count) bytes")
        return try kernel.read(descriptor, at: offset, into: buffer)
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        let fails = isTarget("munmap")
        try kernel.unmap(memory)
        if fails { throw Self.errno }
    }

    func makeEvent() throws(Errno) -> FileDescriptor {
        try willCall("eventfd")
        return opened(try kernel.makeEvent(), "of an event")
    }
}
