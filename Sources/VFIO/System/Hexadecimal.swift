extension FixedWidthInteger where Self: UnsignedInteger {
    /// In the form that people look for in logs: `0x1f000`.
    package var hexadecimal: String { "0x" + String(self, radix: 16) }
}
