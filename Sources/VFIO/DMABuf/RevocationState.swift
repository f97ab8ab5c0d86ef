/// The state of a dma-buf, or of a mapping of one.
public enum RevocationState: Sendable, Hashable, CustomStringConvertible {
    /// In use: accesses reach the exporter's memory.
    case live
    /// Revoked by the kernel: an access causes an IOMMU fault. It can be mapped again when the exporter's memory
    /// responds.
    case revoked
    /// Permanently revoked: the exporting device has been closed.
    case exporterClosed

    public var description: String {
        switch self {
        case .live: "live"
        case .revoked: "revoked"
        case .exporterClosed: "dead"
        }
    }
}
