public import VFIO

/// What a ``DisplayDevice`` shows, and where in BAR 0 that is.
public struct MockPicture: Sendable, Hashable {
    public var format: DRMFormat
    /// In pixels.
    public var width: Int
    /// In pixels.
    public var height: Int
    /// From one row to the next, in bytes.
    public var stride: Int
    /// Where it begins in BAR 0, in bytes.
    public var offset: Int
    /// The memory that it takes, in bytes.
    public var byteCount: Int

    public init(format: DRMFormat, width: Int, height: Int, stride: Int, offset: Int, byteCount: Int) {
        self.format = format
        self.width = width
        self.height = height
        self.stride = stride
        self.offset = offset
        self.byteCount = byteCount
    }
}
