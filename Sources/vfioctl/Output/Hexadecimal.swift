enum Hexadecimal {
    /// Hexadecimal with all digits of the type and without a prefix: `1b36` for `0x1b36`.
    static func text<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> String {
        text(number, digits: Number.bitWidth / 4)
    }

    static func text(_ number: some BinaryInteger, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
