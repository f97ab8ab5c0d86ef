/// Alignment, rounding and hexadecimal form of addresses and sizes, which are unsigned in the kernel's interface.
/// Alignments are powers of two.
extension FixedWidthInteger where Self: UnsignedInteger {
    /// Whether this is a multiple of `alignment`, a power of two.
    package func isAligned(to alignment: Self) -> Bool { self & (alignment &- 1) == 0 }

    /// The next multiple of `alignment`, a power of two; `nil` on overflow.
    package func roundedUp(to alignment: Self) -> Self? {
        let (sum, overflow) = addingReportingOverflow(alignment &- 1)
        return overflow ? nil : sum & ~(alignment &- 1)
    }

    /// The hexadecimal form that kernel logs use: `0x1f000`.
    package var hexadecimal: String { "0x" + String(self, radix: 16) }
}
