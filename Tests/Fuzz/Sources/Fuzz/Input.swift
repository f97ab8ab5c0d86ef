/// What libFuzzer gives, taken byte by byte. After its end there are zeros.
struct Input {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { position >= bytes.count }

    mutating func byte() -> UInt8 {
        guard !isEmpty else { return 0 }
        position += 1
        return bytes[position - 1]
    }

    mutating func take(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    mutating func number<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type = Value.self) -> Value {
        (0..<Value.bitWidth / 8).reduce(0) { (value, _) in value << 8 | Value(byte()) }
    }

    mutating func choice<Element>(of elements: [Element]) -> Element { elements[Int(byte()) % elements.count] }

    mutating func rest() -> [UInt8] {
        defer { position = bytes.count }
        return Array(bytes.dropFirst(position))
    }
}
