/// For addresses and sizes, which are unsigned numbers to the kernel: whether they are aligned to a power of two, and the
/// form that people look for in logs.
extension FixedWidthInteger where Self: UnsignedInteger {
    /// Whether this is a multiple of `alignment`, a power of two.
    package func isAligned(to alignment: Self) -> Bool { self & (alignment &- 1) == 0 }

    /// The next multiple of `alignment`, a power of two; `nil` when it does not fit.
    package func roundedUp(to alignment: Self) -> Self? {
        let (sum, overflow) = addingReportingOverflow(alignment &- 1)
        return overflow ? nil : sum & ~(alignment &- 1)
    }

    /// In the form that people look for in logs: `0x1f000`.
    package var hexadecimal: String { "0x" + String(self, radix: 16) }
}
