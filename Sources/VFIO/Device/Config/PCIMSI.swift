/// The MSI capability (PCI Local Bus Specification 3.0, 6.8.1), as vfio-pci shows it.
public struct PCIMSI: Sendable, Hashable {
    /// Whether the function raises MSIs.
    public let isEnabled: Bool
    /// How many vectors the function can use: a power of two up to 32.
    public let vectorCount: Int
    /// How many it has been given.
    public let enabledVectorCount: Int
    /// Whether message addresses have 64 bits.
    public let is64Bit: Bool
    /// Whether single vectors can be masked.
    public let hasMask: Bool

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let control = try config.read16(at: offset + 2)
        isEnabled = control & 1 != 0
        vectorCount = 1 << Int(control >> 1 & 0x7)
        enabledVectorCount = 1 << Int(control >> 4 & 0x7)
        is64Bit = control & 1 << 7 != 0
        hasMask = control & 1 << 8 != 0
    }
}
