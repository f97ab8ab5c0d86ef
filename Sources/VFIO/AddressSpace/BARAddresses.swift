internal import Synchronization

/// Where in this process BARs are mapped for the CPU.
///
/// The kernel would let such memory into a type1 container, and then nothing would tie the mapping to the life of the
/// device that owns the BAR. So the library remembers its own BAR mappings, of all devices, and refuses their addresses.
enum BARAddresses {
    private struct Entry {
        var addresses: Range<UInt>
        var owner: String
    }

    private static let entries = Mutex<[Entry]>([])

    static func insert(_ memory: UnsafeMutableRawBufferPointer, owner: String) {
        let range = unsafe addresses(of: UnsafeRawBufferPointer(memory))
        entries.withLock { $0.append(Entry(addresses: range, owner: owner)) }
    }

    static func remove(_ memory: UnsafeMutableRawBufferPointer) {
        let range = unsafe addresses(of: UnsafeRawBufferPointer(memory))
        entries.withLock { entries in
            if let index = entries.firstIndex(where: { $0.addresses == range }) { entries.remove(at: index) }
        }
    }

    /// Whose BAR the memory touches; `nil` when it touches none.
    static func owner(of memory: UnsafeRawBufferPointer) -> String? {
        let range = unsafe addresses(of: memory)
        return entries.withLock { entries in entries.first { $0.addresses.overlaps(range) }?.owner }
    }

    private static func addresses(of memory: UnsafeRawBufferPointer) -> Range<UInt> {
        let start = UInt(bitPattern: memory.baseAddress)
        return start..<(start + UInt(memory.count))
    }
}
