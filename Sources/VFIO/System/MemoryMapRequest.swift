public import SystemPackage

/// The arguments of `mmap(2)`.
public struct MemoryMapRequest: Sendable {
    /// Where the memory comes from.
    public enum Source: Sendable {
        /// Private zeroed memory; in huge pages (`MAP_HUGETLB`) of the given size in bytes if that is set.
        case anonymous(hugePageSize: Int?)
        /// A file or device, from an offset in bytes (`MAP_SHARED`).
        case file(FileDescriptor, offset: UInt64)
    }

    public var byteCount: Int
    public var source: Source
    public var isReadable: Bool
    public var isWritable: Bool

    public init(
        byteCount: Int,
        source: Source,
        isReadable: Bool = true,
        isWritable: Bool = true
    ) {
        self.byteCount = byteCount
        self.source = source
        self.isReadable = isReadable
        self.isWritable = isWritable
    }
}
