import SystemPackage

/// What an `ioctl` was given: the address of a structure, or a number.
///
/// The buffer is the process's memory, so what is outside of it is what the kernel would call a bad address; only a
/// structure that is shorter than the kernel's smallest is read as if zeros followed, since its size is refused anyway.
@safe struct Argument {
    /// The number, or the address.
    let value: UInt
    private let buffer: UnsafeMutableRawBufferPointer?

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        unsafe self.buffer = unsafe buffer
        value = UInt(bitPattern: buffer.baseAddress)
    }

    init(value: UInt) {
        unsafe buffer = nil
        self.value = value
    }

    /// The first bytes as a structure. The rest of the structure keeps its value.
    func load<Structure>(_ structure: Structure, _ byteCount: Int? = nil, at offset: Int = 0) throws(Errno) -> Structure
    {
        guard let buffer = unsafe buffer else { throw .badAddress }
        var structure = structure
        unsafe withUnsafeMutableBytes(of: &structure) { target in
            let count = min(byteCount ?? target.count, target.count, max(0, buffer.count - offset))
            if count > 0 {
                unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[offset..<offset + count]))
            }
        }
        return structure
    }

    func store<Structure>(_ structure: Structure, _ byteCount: Int? = nil, at offset: Int = 0) throws(Errno) {
        guard let buffer = unsafe buffer else { throw .badAddress }
        let isStored = unsafe withUnsafeBytes(of: structure) { source in
            let count = min(byteCount ?? source.count, source.count)
            guard offset + count <= buffer.count else { return false }
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
            return true
        }
        if !isStored { throw .badAddress }
    }

    func bytes(at offset: Int, _ byteCount: Int) throws(Errno) -> [UInt8] {
        guard let buffer = unsafe buffer, offset >= 0, byteCount >= 0, offset + byteCount <= buffer.count else {
            throw .badAddress
        }
        return unsafe [UInt8](buffer[offset..<offset + byteCount])
    }

    func store(bytes: [UInt8], at offset: Int) throws(Errno) {
        guard let buffer = unsafe buffer, offset + bytes.count <= buffer.count else { throw .badAddress }
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + bytes.count]).copyBytes(from: bytes)
    }

    /// Text up to a zero, as `strndup_user`. `EINVAL` when there is no zero within the limit.
    func text(limit: Int) throws(Errno) -> String {
        guard let buffer = unsafe buffer else { throw .badAddress }
        let bytes = unsafe buffer.prefix(limit)
        guard let end = unsafe bytes.firstIndex(of: 0) else {
            throw unsafe bytes.count < limit ? .badAddress : .invalidArgument
        }
        return unsafe String(decoding: bytes[..<end], as: UTF8.self)
    }

    /// A structure of iommufd, whose first field is its size: `EINVAL` for one that is too short, `E2BIG` when bytes
    /// that the kernel does not know are not zero.
    func loadSized<Structure>(_ structure: Structure, minimum: Int) throws(Errno) -> Structure {
        let size = Int(try load(UInt32(0)))
        if size < minimum { throw .invalidArgument }
        let known = MemoryLayout<Structure>.size
        if size > known {
            guard let buffer = unsafe buffer, size <= buffer.count else { throw .badAddress }
            if unsafe buffer[known..<size].contains(where: { $0 != 0 }) { throw .argListTooLong }
        }
        return try load(structure, min(size, known))
    }

    /// Stores as much of a structure as the process has room for.
    func storeSized<Structure>(_ structure: Structure) throws(Errno) {
        let size = Int(try load(UInt32(0)))
        try store(structure, min(size, MemoryLayout<Structure>.size))
    }
}
