internal import CVFIOMock
import SystemPackage
import VFIO

/// The memory of the process that did not come through the seam.
enum ProcessMemory {
    /// Whether all of a range is mapped, and writable if that is asked for; as `/proc/self/maps` tells it.
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

    /// Copies from an address; zeros where nothing is mapped any more.
    static func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
        guard let base = buffer.baseAddress else { return }
        let count = unsafe cmock_read_own_memory(base, address, buffer.count)
        let done = max(0, Int(count))
        if done < buffer.count {
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
    }

    /// Copies to an address; what is not mapped any more swallows its bytes.
    static func write(_ address: UInt64, from buffer: UnsafeRawBufferPointer) {
        guard let base = buffer.baseAddress else { return }
        _ = unsafe cmock_write_own_memory(address, base, buffer.count)
    }
}
