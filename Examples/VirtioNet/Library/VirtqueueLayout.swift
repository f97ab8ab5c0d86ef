/// The layout of the three parts of a split virtqueue in its memory (virtio 1.2, 2.7).
public struct VirtqueueLayout: Sendable, Hashable {
    /// The number of entries, a power of two up to 32768.
    public let size: Int
    /// The offset of the available ring in bytes. The descriptors are at 0.
    public let availableOffset: Int
    /// The offset of the used ring in bytes.
    public let usedOffset: Int
    /// The total size in bytes.
    public let byteCount: Int

    /// Each part is aligned to a cache line.
    public init(size: Int) {
        precondition(size > 0 && size <= 32768 && size & (size - 1) == 0, "a queue has a power of two of entries")
        self.size = size
        availableOffset = (size * 16 + 63) & ~63
        usedOffset = (availableOffset + 6 + size * 2 + 63) & ~63
        byteCount = usedOffset + 6 + size * 8
    }
}
