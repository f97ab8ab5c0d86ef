/// The command register of a PCI function (PCI Local Bus Specification 3.0, 6.2.2).
public struct PCICommand: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The function responds at its IO ports.
    public static let ioDecode = PCICommand(rawValue: 1 << 0)
    /// The function responds at its memory BARs. While this is off, its dma-bufs are revoked and its BAR mappings
    /// fault.
    ///
    /// For a virtual function (SR-IOV) the physical function controls this: here the bit does not disable its memory,
    /// and switching it off revokes once.
    public static let memoryDecode = PCICommand(rawValue: 1 << 1)
    /// The function may do DMA and send MSIs. Off after opening.
    public static let busMaster = PCICommand(rawValue: 1 << 2)
    public static let parityErrorResponse = PCICommand(rawValue: 1 << 6)
    public static let systemErrorEnable = PCICommand(rawValue: 1 << 8)
    /// The function may not assert its INTx line.
    public static let interruptDisable = PCICommand(rawValue: 1 << 10)
}
