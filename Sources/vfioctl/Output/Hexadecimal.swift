/// Numbers as the PCI world writes them.
enum Hexadecimal {
    /// As many digits as the type has, without a prefix: `0x1b36` as `1b36`.
    static func text<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> String {
        text(number, digits: Number.bitWidth / 4)
    }

    static func text(_ number: some BinaryInteger, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
