extension Array {
    /// The index of the first element that a condition does not hold for, by bisection. It must hold for all before it.
    func partitionIndex(after precedes: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if precedes(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension FixedWidthInteger {
    /// The bytes of the value, the lowest one first.
    var littleEndianBytes: [UInt8] { (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) } }

    init(littleEndianBytes bytes: [UInt8]) {
        self = bytes.reversed().reduce(0) { $0 << 8 | Self(truncatingIfNeeded: $1) }
    }
}

/// Little-endian fields.
extension [UInt8] {
    func integer(at offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(self[offset + $1]) << UInt64($1 * 8) }
    }

    /// Sets a field to the lowest bytes of a value: all of them, or `count`.
    mutating func set<Value: FixedWidthInteger>(
        _ offset: Int, _ value: Value, _ count: Int = MemoryLayout<Value>.size
    ) {
        for index in 0..<count { self[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
    }

    mutating func set(_ offset: Int, bytes: [UInt8]) { replaceSubrange(offset..<offset + bytes.count, with: bytes) }

    /// Sets a field of ASCII, padded with spaces.
    mutating func set(_ offset: Int, _ byteCount: Int, text: String) {
        let text = [UInt8](text.utf8.prefix(byteCount))
        set(offset, bytes: text + [UInt8](repeating: UInt8(ascii: " "), count: byteCount - text.count))
    }
}
