import SystemPackage

/// The argument of an `ioctl`: the address of a structure, or a number.
///
/// The caller states the length of the structure, so an access outside of it is a bad address. A structure shorter than
/// the kernel's smallest is padded with zeros, since its size is refused anyway.
struct Argument {
    let value: UInt
    /// The length of the structure; `nil` for a number.
    private let byteCount: Int?

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        value = UInt(bitPattern: buffer.baseAddress)
        byteCount = buffer.count
    }

    init(value: UInt) {
        self.value = value
        byteCount = nil
    }

    private func address(_ offset: Int, _ count: Int) throws(Errno) -> UInt64 {
        guard let byteCount, offset >= 0, count >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .badAddress
        }
        return UInt64(value) + UInt64(offset)
    }

    /// Loads the first bytes over `structure`; the rest keeps its value.
    func load<Structure>(_ structure: Structure, _ count: Int? = nil, at offset: Int = 0) throws(Errno) -> Structure {
        guard let byteCount else { throw .badAddress }
        let known = MemoryLayout<Structure>.size
        let count = min(count ?? known, known, max(0, byteCount - offset))
        return try UserMemory.load(structure, count, at: UInt64(value) &+ UInt64(offset))
    }

    func store<Structure>(_ structure: Structure, _ count: Int? = nil, at offset: Int = 0) throws(Errno) {
        let known = MemoryLayout<Structure>.size
        let count = min(count ?? known, known)
        try UserMemory.store(structure, count, at: try address(offset, count))
    }

    func bytes(at offset: Int, _ count: Int) throws(Errno) -> [UInt8] {
        try UserMemory.bytes(try address(offset, count), count)
    }

    func store(bytes: [UInt8], at offset: Int) throws(Errno) {
        try UserMemory.store(try address(offset, bytes.count), bytes: bytes)
    }

    func array<Structure: BitwiseCopyable>(
        _ type: Structure.Type, _ count: Int, at offset: Int
    ) throws(Errno) -> [Structure] {
        try UserMemory.array(type, count, at: try address(offset, count * MemoryLayout<Structure>.stride))
    }

    /// Returns the text up to a zero, as `strndup_user`. `EINVAL` when there is no zero within the limit.
    func text(limit: Int) throws(Errno) -> String {
        guard let byteCount else { throw .badAddress }
        let most = min(byteCount, limit)
        var bytes: [UInt8] = []
        while bytes.count < most {
            // Page by page: what follows the zero need not be mapped.
            let rest = 4096 - (Int(bitPattern: value) + bytes.count) & 4095
            let part = try self.bytes(at: bytes.count, min(rest, most - bytes.count))
            if let end = part.firstIndex(of: 0) { return String(decoding: bytes + part[..<end], as: UTF8.self) }
            bytes += part
        }
        throw most < limit ? .badAddress : .invalidArgument
    }

    // MARK: Sizes

    /// Loads a structure of VFIO, whose first field is its size (`argsz`): `EINVAL` when that is below `minimum`.
    func loadSized<Structure>(
        _ structure: Structure, argsz minimum: Int = MemoryLayout<Structure>.size
    ) throws(Errno) -> Structure {
        let structure = try load(structure, minimum)
        if Self.size(of: structure) < minimum { throw .invalidArgument }
        return structure
    }

    /// The value of the first field.
    private static func size<Structure>(of structure: Structure) -> Int {
        unsafe withUnsafeBytes(of: structure) { unsafe Int($0.loadUnaligned(as: UInt32.self)) }
    }

    /// Stores a chain of capabilities behind a structure of VFIO if there is room.
    ///
    /// - Returns: Its offset; 0 without room.
    func store(_ chain: CapabilityChain, behind size: Int, argsz: UInt32) throws(Errno) -> UInt32 {
        if Int(argsz) < size + chain.bytes.count { return 0 }
        try store(bytes: chain.placed(at: size), at: size)
        return UInt32(size)
    }

    /// Loads a structure of iommufd, whose first field is its size: `EINVAL` when that is below `minimum`, `E2BIG` when
    /// a byte that the kernel does not know is not zero.
    func loadSized<Structure>(_ structure: Structure, minimum: Int) throws(Errno) -> Structure {
        let size = Int(try load(UInt32(0)))
        if size < minimum { throw .invalidArgument }
        let known = MemoryLayout<Structure>.size
        if size > known, try bytes(at: known, size - known).contains(where: { $0 != 0 }) { throw .argListTooLong }
        return try load(structure, min(size, known))
    }

    /// Performs a request of iommufd and stores as much of the structure as fits the caller's size.
    func update<Structure>(
        _ structure: Structure, minimum: Int, _ body: (inout Structure) throws(Errno) -> Void
    ) throws(Errno) {
        var structure = try loadSized(structure, minimum: minimum)
        try body(&structure)
        try store(structure, Self.size(of: structure))
    }
}
