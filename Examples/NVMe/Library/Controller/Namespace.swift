/// A namespace: a disk of the controller, as an array of blocks.
public struct Namespace: Sendable, Hashable {
    /// The namespace's number, from 1.
    public let id: UInt32
    /// The number of blocks.
    public let blockCount: UInt64
    /// The binary logarithm of the block size.
    @usableFromInline let blockShift: Int

    /// Creates a namespace from known values; `Controller.namespace(_:)` reads them from the controller.
    ///
    /// Unsafe, because a controller moves blocks of its own size: with a smaller `blockSize` than that, commands pass the
    /// checks of ``QueuePair`` and overwrite the memory behind their buffer.
    ///
    /// - Parameters:
    ///   - id: The namespace's number.
    ///   - blockCount: The number of blocks; their total size in bytes must be less than 2^63.
    ///   - blockSize: The block size in bytes, a power of two.
    @unsafe public init(id: UInt32, blockCount: UInt64, blockSize: Int) {
        precondition(blockSize > 0 && blockSize & (blockSize - 1) == 0, "the size of a block is a power of two")
        precondition(blockCount <= UInt64(Int.max / blockSize), "a namespace has less than 2^63 bytes")
        self.id = id
        self.blockCount = blockCount
        self.blockShift = blockSize.trailingZeroBitCount
    }

    /// The block size in bytes.
    @inlinable public var blockSize: Int { 1 << blockShift }
    /// The total size in bytes.
    public var byteCount: UInt64 { blockCount << UInt64(blockShift) }
}
