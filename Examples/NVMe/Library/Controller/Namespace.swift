/// A namespace: a disk of the controller, as a row of blocks.
public struct Namespace: Sendable, Hashable {
    /// Its number, from 1.
    public let id: UInt32
    /// How many blocks it has.
    public let blockCount: UInt64
    /// The binary logarithm of the size of a block.
    @usableFromInline let blockShift: Int

    /// A namespace whose numbers are known from elsewhere; `Controller.namespace(_:)` asks the controller for them.
    ///
    /// - Parameters:
    ///   - blockCount: How many blocks it has, in bytes less than 2^63.
    ///   - blockSize: In bytes, a power of two.
    public init(id: UInt32, blockCount: UInt64, blockSize: Int) {
        precondition(blockSize > 0 && blockSize & (blockSize - 1) == 0, "the size of a block is a power of two")
        precondition(blockCount <= UInt64(Int.max / blockSize), "a namespace has less than 2^63 bytes")
        self.id = id
        self.blockCount = blockCount
        self.blockShift = blockSize.trailingZeroBitCount
    }

    /// The size of a block in bytes.
    @inlinable public var blockSize: Int { 1 << blockShift }
    /// The size of all blocks in bytes.
    public var byteCount: UInt64 { blockCount << UInt64(blockShift) }
}
