public import VFIO

/// The framebuffer of a ``DisplayDevice``, and its place in BAR 0.
public struct MockPicture: Sendable, Hashable {
    public var format: DRMFormat
    /// In pixels.
    public var width: Int
    /// In pixels.
    public var height: Int
    /// The distance between rows in bytes.
    public var stride: Int
    /// The offset in BAR 0 in bytes.
    public var offset: Int
    /// The size in bytes.
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
