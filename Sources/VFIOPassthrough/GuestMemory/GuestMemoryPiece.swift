internal import Synchronization
internal import SystemPackage
internal import VFIO

/// A mapped range of a guest's memory: for its devices and, unless the caller owns the memory, for the CPU.
final class GuestMemoryPiece: Sendable {
    let range: ClosedRange<UInt64>
    /// The address of the first byte in the process.
    let baseAddress: UInt
    private let kernel: any Kernel
    private let isOwned: Bool
    private let mapping: Mutex<DMAMapping?>

    var byteCount: UInt64 { range.upperBound - range.lowerBound + 1 }

    /// - Parameter wanted: A range that has been checked.
    init(_ wanted: GuestMemoryRange, in space: AddressSpace, operation: String) throws(VFIOError) {
        kernel = space.kernel
        range = wanted.addresses
        guard let count = Int(exactly: wanted.byteCount) else {
            throw VFIOError(.invalidArgument, operation, wanted.subject, hint: "the size is out of reach")
        }
        switch wanted.source {
        case .memory(let address):
            baseAddress = address
            isOwned = false
        case .new(let pages):
            baseAddress = try Self.map(
                MemoryMapRequest(byteCount: count, source: .anonymous(hugePageSize: pages.byteCount)), in: space,
                operation: "\(operation) (mmap)", subject: wanted.subject)
            isOwned = true
        case .file(let file, let offset):
            baseAddress = try Self.map(
                MemoryMapRequest(byteCount: count, source: .file(file, offset: offset)), in: space,
                operation: "\(operation) (mmap)", subject: wanted.subject)
            isOwned = true
        }
        mapping = Mutex(nil)
        // From here on the deinit frees the memory.
        try mapping.withLock { (mapping) throws(VFIOError) in
            mapping = try unsafe space.map(
                bytes, access: wanted.access, placement: .fixed(wanted.address.iova))
        }
    }

    private static func map(
        _ request: MemoryMapRequest, in space: AddressSpace, operation: String, subject: String
    ) throws(VFIOError) -> UInt {
        do throws(Errno) {
            return UInt(bitPattern: try unsafe space.kernel.map(request, alignedTo: [space.knownAlignment]))
        } catch {
            throw VFIOError(
                error == .noMemory ? .noSpace : .kernel, operation, subject, errno: error,
                hint: error == .noMemory ? "the process has no room for as much memory" : nil)
        }
    }

    private var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: baseAddress), count: Int(byteCount))
    }

    /// Gives access to the memory, which stays valid until the closure returns, even if the range is removed meanwhile.
    func withBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) -> Result in try unsafe body(bytes) }
    }

    /// Gives access to a view of the memory and the offset of a guest address in it.
    func withMemory<Result: ~Copyable, Failure: Error>(
        at address: GuestAddress, _ body: (borrowing DeviceMemory, Int) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe withBytes { (bytes) throws(Failure) -> Result in
            let base = bytes.baseAddress!
            let memory = unsafe DeviceMemory(base: base, byteCount: bytes.count)
            return try body(memory, Int(address.rawValue - range.lowerBound))
        }
    }

    /// Unmaps the memory for the devices, and throws the kernel's error. The CPU mapping stays until the deinit.
    func unmap() throws(VFIOError) {
        try mapping.withLock { (mapping) throws(VFIOError) in
            if let mapping = mapping.take() { try mapping.close() }
        }
    }

    deinit {
        try? unmap()
        if isOwned { try? unsafe kernel.unmap(bytes) }
    }
}
