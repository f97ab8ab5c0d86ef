internal import CVFIO

/// An interrupt type of a PCI device, by its number in VFIO.
public struct InterruptIndex: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The interrupt pin: one, level-triggered. Masked by the kernel when it fires; see ``InterruptVector/unmask()``.
    public static var intx: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_INTX_IRQ_INDEX) }
    /// Message-signalled interrupts.
    public static var msi: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_MSI_IRQ_INDEX) }
    /// Message-signalled interrupts with a separate table, up to 2048.
    public static var msix: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_MSIX_IRQ_INDEX) }
    /// Raised when the host detects an uncorrectable error of the device.
    public static var error: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_ERR_IRQ_INDEX) }
    /// Raised when the host requests the device back, to unbind or unplug it, and again about every 10 seconds until
    /// the device is closed.
    public static var request: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_REQ_IRQ_INDEX) }

    /// Whether interrupts of this type come from the device; only one such type can be on at a time.
    var isExclusive: Bool { rawValue <= CVFIO_PCI_MSIX_IRQ_INDEX }
}

extension InterruptIndex: CustomStringConvertible {
    public var description: String {
        switch self {
        case .intx: "INTx"
        case .msi: "MSI"
        case .msix: "MSI-X"
        case .error: "the error interrupt"
        case .request: "the request interrupt"
        default: "interrupt index \(rawValue)"
        }
    }
}
