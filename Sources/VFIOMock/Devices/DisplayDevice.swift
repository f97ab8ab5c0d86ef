public import VFIO

/// A virtual GPU as the kernel's samples make them: a mediated device that shows a picture, which lies in BAR 0.
public protocol DisplayDevice: MockDevice {
    /// How it hands out its picture: as region 16, which is BAR 0 by another number, or as a dma-buf.
    var displayFlavor: DisplayPlane.Flavor { get }

    /// What it shows; `nil` while that is nothing.
    var picture: MockPicture? { get }
}

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
