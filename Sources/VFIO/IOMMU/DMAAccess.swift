/// The access of a device to mapped memory.
public struct DMAAccess: OptionSet, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The device may read the memory (`VFIO_DMA_MAP_FLAG_READ`, `IOMMU_IOAS_MAP_READABLE`).
    public static let read = DMAAccess(rawValue: 1 << 0)
    /// The device may write the memory (`VFIO_DMA_MAP_FLAG_WRITE`, `IOMMU_IOAS_MAP_WRITEABLE`).
    public static let write = DMAAccess(rawValue: 1 << 1)
    public static let readWrite: DMAAccess = [.read, .write]

    public var description: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .readWrite: "readWrite"
        case []: "[]"
        default: "DMAAccess(rawValue: \(rawValue))"
        }
    }
}
