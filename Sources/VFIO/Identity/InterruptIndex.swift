internal import CVFIO

/// A kind of interrupt of a PCI device, by the number that VFIO gives it.
public struct InterruptIndex: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The interrupt pin: one, level-triggered. Masked by the kernel when it fires; see ``InterruptVector/unmask()``.
    public static var intx: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_INTX_IRQ_INDEX) }
    /// Message-signalled interrupts.
    public static var msi: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_MSI_IRQ_INDEX) }
    /// Message-signalled interrupts with a table of their own, up to 2048.
    public static var msix: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_MSIX_IRQ_INDEX) }
    /// The host saw an uncorrectable error of the device.
    public static var error: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_ERR_IRQ_INDEX) }
    /// The host wants the device back.
    public static var request: InterruptIndex { InterruptIndex(rawValue: CVFIO_PCI_REQ_IRQ_INDEX) }

    /// Whether interrupts of this kind come from the device, of which only one kind can be on at a time.
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
