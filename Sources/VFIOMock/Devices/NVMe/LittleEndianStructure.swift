/// A structure of a specification, filled in field by field.
struct LittleEndianStructure {
    private(set) var bytes: [UInt8]

    init(_ byteCount: Int) { bytes = [UInt8](repeating: 0, count: byteCount) }

    mutating func set<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ value: Value) {
        for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
    }

    mutating func set(_ offset: Int, bytes new: [UInt8]) {
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    /// Sets a field of ASCII, filled up with spaces.
    mutating func setText(_ offset: Int, _ byteCount: Int, _ text: String) {
        let text = Array(text.utf8.prefix(byteCount))
        set(offset, bytes: text + [UInt8](repeating: UInt8(ascii: " "), count: byteCount - text.count))
    }
}
