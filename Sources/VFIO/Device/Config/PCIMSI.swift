/// The MSI capability (PCI Local Bus Specification 3.0, 6.8.1), as vfio-pci shows it.
public struct PCIMSI: Sendable, Hashable {
    /// Whether MSI is enabled in the guest's view: vfio-pci keeps a copy of this bit for a guest, and a vector that is
    /// switched on by ``Interrupts/enable(vector:)`` does not show here.
    public let isEnabled: Bool
    /// The number of vectors that the function supports: a power of two up to 32.
    public let vectorCount: Int
    /// The number of vectors that are enabled.
    public let enabledVectorCount: Int
    /// Whether message addresses have 64 bits.
    public let is64Bit: Bool
    /// Whether single vectors can be masked.
    public let hasMask: Bool

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let control = try config.read16(at: offset + 2)
        isEnabled = control & 1 != 0
        vectorCount = 1 << min(Int(control >> 1 & 0x7), Self.largestCode)
        enabledVectorCount = 1 << min(Int(control >> 4 & 0x7), Self.largestCode)
        is64Bit = control & 1 << 7 != 0
        hasMask = control & 1 << 8 != 0
    }

    /// The number of vectors is encoded as a power of two; 6 and 7 are reserved.
    private static let largestCode = 5
}
