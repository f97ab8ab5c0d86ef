import SystemPackage

/// The buffer of a `read` or `write`.
struct UserBuffer {
    private let address: UInt64
    let count: Int

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        address = UInt64(UInt(bitPattern: buffer.baseAddress))
        count = buffer.count
    }

    init(_ buffer: UnsafeRawBufferPointer) {
        address = UInt64(UInt(bitPattern: buffer.baseAddress))
        count = buffer.count
    }

    func bytes(_ count: Int) throws(Errno) -> [UInt8] { try UserMemory.bytes(address, count) }

    func store(_ bytes: [UInt8]) throws(Errno) { try UserMemory.store(address, bytes: bytes) }

    func load<Structure>(_ structure: Structure, at offset: Int) throws(Errno) -> Structure {
        try UserMemory.load(structure, at: address &+ UInt64(offset))
    }

    func store<Structure>(_ structure: Structure, at offset: Int) throws(Errno) {
        try UserMemory.store(structure, at: address &+ UInt64(offset))
    }

    func store(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        try UserMemory.store(address &+ UInt64(offset), bytes: bytes)
    }
}
