/// A hex dump: sixteen bytes a line, with the offset before and the characters after.
enum Hexadecimal {
    static func lines(_ bytes: [UInt8], from start: UInt64) -> [String] {
        stride(from: 0, to: bytes.count, by: 16).map { offset in
            let row = bytes[offset..<min(offset + 16, bytes.count)]
            let digits = row.map { pad(String($0, radix: 16), 2) }.joined(separator: " ")
            let text = String(decoding: row.map { (0x20...0x7e).contains($0) ? $0 : 0x2e }, as: UTF8.self)
            return "\(pad(String(start + UInt64(offset), radix: 16), 8))  \(digits)  \(text)"
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
