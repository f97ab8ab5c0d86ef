/// The widths of PCIe AtomicOps that the root port completes for a device, so that the device may send them.
public struct PCIAtomicCompletions: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// FetchAdd, Swap and CAS of 32 bits (`VFIO_PCI_ATOMIC_COMP32`).
    public static let bits32 = PCIAtomicCompletions(rawValue: 1 << 0)
    /// FetchAdd, Swap and CAS of 64 bits (`VFIO_PCI_ATOMIC_COMP64`).
    public static let bits64 = PCIAtomicCompletions(rawValue: 1 << 1)
    /// CAS of 128 bits (`VFIO_PCI_ATOMIC_COMP128`).
    public static let bits128 = PCIAtomicCompletions(rawValue: 1 << 2)
}
