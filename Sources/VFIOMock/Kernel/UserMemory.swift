internal import CVFIOMock
import SystemPackage
import VFIO

/// The process's memory: an unmapped address throws `EFAULT` and does not fault.
enum UserMemory {
    static func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        if unsafe cmock_read_own_memory(base, address, buffer.count) != buffer.count { throw .badAddress }
    }

    static func write(_ address: UInt64, from buffer: UnsafeRawBufferPointer) throws(Errno) {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        if unsafe cmock_write_own_memory(address, base, buffer.count) != buffer.count { throw .badAddress }
    }

    static func bytes(_ address: UInt64, _ count: Int) throws(Errno) -> [UInt8] {
        if count == 0 { return [] }
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, readCount in
            let done = unsafe cmock_read_own_memory(buffer.baseAddress!, address, count)
            readCount = max(0, Int(done))
        }
        if bytes.count < count { throw .badAddress }
        return bytes
    }

    static func store(_ address: UInt64, bytes: [UInt8]) throws(Errno) {
        try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
            try unsafe write(address, from: buffer)
        }
    }

    /// Loads a structure, or its first `byteCount` bytes; the rest keeps its value.
    static func load<Structure>(
        _ structure: Structure, _ byteCount: Int = MemoryLayout<Structure>.size, at address: UInt64
    ) throws(Errno) -> Structure {
        var structure = structure
        let isRead = unsafe withUnsafeMutableBytes(of: &structure) {
            unsafe cmock_read_own_memory($0.baseAddress!, address, byteCount) == byteCount
        }
        if byteCount > 0 && !isRead { throw .badAddress }
        return structure
    }

    static func store<Structure>(
        _ structure: Structure, _ byteCount: Int = MemoryLayout<Structure>.size, at address: UInt64
    ) throws(Errno) {
        let isWritten = unsafe withUnsafeBytes(of: structure) {
            unsafe cmock_write_own_memory(address, $0.baseAddress!, byteCount) == byteCount
        }
        if byteCount > 0 && !isWritten { throw .badAddress }
    }

    static func array<Structure: BitwiseCopyable>(
        _ type: Structure.Type, _ count: Int, at address: UInt64
    ) throws(Errno) -> [Structure] {
        let stride = MemoryLayout<Structure>.stride
        let bytes = try bytes(address, count * stride)
        return unsafe bytes.withUnsafeBytes { source in
            (0..<count).map { unsafe source.loadUnaligned(fromByteOffset: $0 * stride, as: type) }
        }
    }

    /// Sets ranges of bits in a bitmap. The ranges must be in order.
    static func setBits(_ ranges: [ClosedRange<UInt64>], at address: UInt64) throws(Errno) {
        // In stretches without long gaps: the bitmap may be longer than the process's memory.
        var rest = ranges[...]
        while let start = rest.first {
            var end = start.upperBound
            let stretch = rest.prefix { range in
                guard range.lowerBound <= end || range.lowerBound - end < 1 << 15 else { return false }
                end = range.upperBound
                return true
            }
            try setStretch(stretch, at: address)
            rest = rest.dropFirst(stretch.count)
        }
    }

    private static func setStretch(_ ranges: ArraySlice<ClosedRange<UInt64>>, at address: UInt64) throws(Errno) {
        guard let first = ranges.first?.lowerBound, let last = ranges.last?.upperBound else { return }
        var bytes = try bytes(address &+ first / 8, Int(last / 8 - first / 8) + 1)
        for range in ranges {
            for bit in range { bytes[Int(bit / 8 - first / 8)] |= 1 << UInt8(bit % 8) }
        }
        try store(address &+ first / 8, bytes: bytes)
    }

    /// Whether a whole range is mapped, and writable if required, by `/proc/self/maps`.
    static func isMapped(_ address: UInt64, _ byteCount: UInt64, writable: Bool) -> Bool {
        guard let bytes = try? HostKernel().readFile("/proc/self/maps") else { return false }
        let end = address + byteCount
        var covered = address
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line.prefix(80), as: UTF8.self)
            let fields = text.split(separator: " ", maxSplits: 2)
            guard fields.count > 1, let dash = fields[0].firstIndex(of: "-"),
                let first = UInt64(fields[0][..<dash], radix: 16),
                let last = UInt64(fields[0][fields[0].index(after: dash)...], radix: 16)
            else { continue }
            if last <= covered { continue }
            if first > covered { return false }
            let permissions = Array(fields[1].utf8)
            guard permissions.count >= 2, permissions[0] == UInt8(ascii: "r"),
                !writable || permissions[1] == UInt8(ascii: "w")
            else { return false }
            covered = last
            if covered >= end { return true }
        }
        return false
    }
}

extension Errno {
    /// `ESPIPE`.
    static var illegalSeek: Errno { Errno(rawValue: 29) }
    /// `EBADFD`.
    static var badDescriptorState: Errno { Errno(rawValue: 77) }
    /// `EMSGSIZE`.
    static var messageTooLong: Errno { Errno(rawValue: 90) }
}
