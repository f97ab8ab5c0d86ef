/// A base address register (PCI Local Bus Specification 3.0, 6.2.5.1).
public struct PCIBaseAddress: Sendable, Hashable {
    /// Whether this is an IO BAR rather than a memory BAR.
    public let isIO: Bool
    /// Whether the address has 64 bits, so that the next register holds its upper half.
    public let is64Bit: Bool
    /// Whether reads have no side effects.
    public let isPrefetchable: Bool
    /// The address in bytes.
    public let address: UInt64

    init(low: UInt32, high: UInt32) {
        isIO = low & 1 != 0
        is64Bit = !isIO && low >> 1 & 3 == 2
        isPrefetchable = !isIO && low & 8 != 0
        address = isIO ? UInt64(low & ~3) : UInt64(high) << 32 | UInt64(low & ~0xF)
    }
}
