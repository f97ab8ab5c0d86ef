internal import Synchronization
public import VFIO

/// The memory of a virtual machine, mapped for its devices at the guest physical addresses: each IOVA equals the guest
/// physical address.
///
/// ```swift
/// let memory = try GuestMemory(
///     [
///         .new(at: 0, byteCount: 640 << 10), .new(at: 0x10_0000, byteCount: 3 << 30),
///         .new(at: 0x1_0000_0000, byteCount: 5 << 30),
///     ], in: space)
/// try memory.add([.new(at: 0x2_0000_0000, byteCount: 1 << 30)])     // hot-plug
/// ```
/// A layout is checked as a whole before the first request, and is mapped completely or not at all. The memory is
/// pinned while it is mapped: all of the guest's memory must fit into the host's memory and into `RLIMIT_MEMLOCK`.
///
/// This covers the devices. For the processors, the monitor sets a KVM memory slot for each range (`withUnsafeMemory`
/// gives access to the addresses).
public struct GuestMemory: ~Copyable, Sendable {
    /// The address space of the guest's devices.
    public let space: AddressSpace
    /// Sorted by address.
    private let pieces: Mutex<[GuestMemoryPiece]>
    /// Held while memory is added: pinning may take seconds, during which the other memory must stay accessible.
    private let addLock = Mutex(())

    /// Maps a guest's memory. The corresponding requests are `VFIO_IOMMU_MAP_DMA` and `IOMMU_IOAS_MAP`.
    ///
    /// Open the devices first if possible: they narrow the usable IOVA ranges, and type1 maps nothing without a device.
    ///
    /// - Parameters:
    ///   - ranges: Disjoint, in any order.
    ///   - space: The address space of the guest's devices.
    /// - Throws: `.misaligned`, `.alreadyMapped` for ranges that overlap, `.outOfRange` for one that the devices cannot
    ///   fully address (the error names the hole), all before the first request; `.deviceMemory`, `.limit`, `.noSpace`,
    ///   `.noDevice`. After an error nothing is mapped.
    public init(_ ranges: [GuestMemoryRange], in space: AddressSpace) throws(VFIOError) {
        self.space = space
        pieces = Mutex(try Self.map(ranges, in: space, beside: [], operation: "map the guest's memory"))
    }

    /// The guest addresses that are memory, sorted and inclusive.
    public var ranges: [ClosedRange<GuestAddress>] {
        pieces.withLock { pieces in
            pieces.map { GuestAddress($0.range.lowerBound)...GuestAddress($0.range.upperBound) }
        }
    }

    /// Adds memory to a running machine: all of the ranges or none.
    /// The corresponding requests are `VFIO_IOMMU_MAP_DMA` and `IOMMU_IOAS_MAP`.
    ///
    /// - Throws: As the initializer.
    public func add(_ ranges: [GuestMemoryRange]) throws(VFIOError) {
        try addLock.withLock { (_) throws(VFIOError) in
            let added = try Self.map(
                ranges, in: space, beside: pieces.withLock { $0.map(\.range) }, operation: "add memory to the guest")
            pieces.withLock { pieces in
                pieces += added
                pieces.sort { $0.range.lowerBound < $1.range.lowerBound }
            }
        }
    }

    /// Removes a range from the machine, after the guest has released it and its memory slot is deleted.
    /// The corresponding requests are `VFIO_IOMMU_UNMAP_DMA` and `IOMMU_IOAS_UNMAP`.
    ///
    /// - Parameter address: The start of a range that was mapped as such.
    /// - Throws: `.notFound`; the kernel's error of the unmapping, after which the range is removed anyway.
    public func remove(at address: GuestAddress) throws(VFIOError) {
        let piece = try pieces.withLock { (pieces) throws(VFIOError) in
            guard let index = pieces.firstIndex(where: { $0.range.lowerBound == address.rawValue }) else {
                throw VFIOError(
                    .notFound, "take memory from the guest", "guest address \(address)",
                    hint: "no range begins there; they are taken out as they were put in")
            }
            return pieces.remove(at: index)
        }
        try piece.unmap()
    }

    /// Gives access to the process's addresses of the range that begins at a guest address, such as for a KVM memory
    /// slot.
    ///
    /// The addresses are valid until the range is removed: delete the slot before.
    ///
    /// - Throws: `.notFound` if no range begins there.
    @unsafe
    public func withUnsafeMemory<Result: ~Copyable>(
        at address: GuestAddress, _ body: (UnsafeMutableRawBufferPointer) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        try unsafe piece(beginningAt: address).withBytes(body)
    }

    /// Does the same for a closure with its own error type.
    @unsafe
    public func withUnsafeMemory<Result: ~Copyable>(
        at address: GuestAddress, _ body: (UnsafeMutableRawBufferPointer) throws -> Result
    ) throws -> Result {
        try unsafe piece(beginningAt: address).withBytes(body)
    }

    /// Gives access to the range of memory that contains a guest address.
    ///
    /// A length that the guest has chosen may leave the range, and then traps: see ``bytes(at:count:)`` and
    /// ``copy(_:to:)``.
    ///
    /// - Parameters:
    ///   - address: Any address in the range.
    ///   - body: Receives the whole range, and the offset of the address in it, in bytes.
    /// - Throws: `.notFound` if the address is not memory.
    public func withMemory<Result: ~Copyable>(
        at address: GuestAddress, _ body: (borrowing DeviceMemory, Int) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        try piece(around: address).withMemory(at: address, body)
    }

    /// Does the same for a closure with its own error type.
    public func withMemory<Result: ~Copyable>(
        at address: GuestAddress, _ body: (borrowing DeviceMemory, Int) throws -> Result
    ) throws -> Result {
        try piece(around: address).withMemory(at: address, body)
    }

    /// Copies bytes out of the guest's memory: an emulated device's DMA, at addresses that the guest has chosen.
    ///
    /// - Throws: `.outOfRange` unless all of it is in one range of the guest's memory.
    public func bytes(at address: GuestAddress, count: Int) throws(VFIOError) -> [UInt8] {
        try access(address, count) { (memory, offset) in memory.bytes(at: offset, count: count) }
    }

    /// Copies bytes into the guest's memory: an emulated device's DMA, at addresses that the guest has chosen.
    ///
    /// - Throws: `.outOfRange` unless all of it is in one range of the guest's memory.
    public func copy(_ source: [UInt8], to address: GuestAddress) throws(VFIOError) {
        try access(address, source.count) { (memory, offset) in memory.copy(source, to: offset) }
    }

    private func access<Result>(
        _ address: GuestAddress, _ count: Int, _ body: (borrowing DeviceMemory, Int) -> Result
    ) throws(VFIOError) -> Result {
        guard let piece = find({ $0.contains(address.rawValue) }), count >= 0,
            count == 0 || UInt64(count) - 1 <= piece.range.upperBound - address.rawValue
        else {
            throw VFIOError(
                .outOfRange, "reach the guest's memory", "\(count) bytes at guest address \(address)",
                hint: "no memory of the guest is there, or it ends before")
        }
        return try piece.withMemory(at: address) { (memory, offset) throws(VFIOError) in
            body(memory, offset)
        }
    }

    private func piece(beginningAt address: GuestAddress) throws(VFIOError) -> GuestMemoryPiece {
        try piece("lend the guest's memory", address) { $0.lowerBound == address.rawValue }
    }

    private func piece(around address: GuestAddress) throws(VFIOError) -> GuestMemoryPiece {
        try piece("reach the guest's memory", address) { $0.contains(address.rawValue) }
    }

    private func piece(
        _ operation: String, _ address: GuestAddress, _ isWanted: (ClosedRange<UInt64>) -> Bool
    ) throws(VFIOError) -> GuestMemoryPiece {
        guard let piece = find(isWanted) else {
            throw VFIOError(.notFound, operation, "guest address \(address)", hint: "no memory of the guest is there")
        }
        return piece
    }

    private func find(_ isWanted: (ClosedRange<UInt64>) -> Bool) -> GuestMemoryPiece? {
        pieces.withLock { pieces in pieces.first { isWanted($0.range) } }
    }

    /// Unmaps all of the memory, frees the memory that the library allocated, and throws the kernel's first error.
    /// The corresponding requests are `VFIO_IOMMU_UNMAP_DMA` and `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) {
        let all = pieces.withLock { pieces in
            defer { pieces = [] }
            return pieces
        }
        var failure: VFIOError?
        for piece in all {
            do throws(VFIOError) {
                try piece.unmap()
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// Checks and maps ranges; if one fails, the deinits of the earlier pieces unmap them.
    private static func map(
        _ ranges: [GuestMemoryRange], in space: AddressSpace, beside present: [ClosedRange<UInt64>], operation: String
    ) throws(VFIOError) -> [GuestMemoryPiece] {
        try space.requireFirstDevice(for: operation)
        try GuestMemoryLayout.check(
            ranges, beside: present, allowed: try space.iovaRanges(), alignment: try space.mappingAlignment(),
            operation: operation)
        for range in ranges {
            if let other = space.mapping(overlapping: range.addresses) {
                throw VFIOError(
                    .alreadyMapped, operation, range.subject, hint: "\(other) is mapped in the address space already")
            }
        }
        var pieces: [GuestMemoryPiece] = []
        for range in ranges { pieces.append(try GuestMemoryPiece(range, in: space, operation: operation)) }
        return pieces.sorted { $0.range.lowerBound < $1.range.lowerBound }
    }
}
