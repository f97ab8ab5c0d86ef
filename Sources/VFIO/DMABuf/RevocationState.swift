/// What has become of a dma-buf, or of a mapping of one.
public enum RevocationState: Sendable, Hashable, CustomStringConvertible {
    /// In use: a device that reaches for it reaches the exporter's memory.
    case live
    /// Taken back by the kernel: a device that reaches for it takes an IOMMU fault. It can be mapped again once the
    /// exporter's memory answers.
    case revoked
    /// Taken back for good: the exporting device has been closed.
    case exporterClosed

    public var description: String {
        switch self {
        case .live: "live"
        case .revoked: "revoked"
        case .exporterClosed: "dead"
        }
    }
}
