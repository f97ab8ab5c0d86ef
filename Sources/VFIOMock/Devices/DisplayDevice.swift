public import VFIO

/// A virtual GPU as the kernel's samples make them: a mediated device that shows a picture, which lies in BAR 0.
public protocol DisplayDevice: MockDevice {
    /// How it hands out its picture: as region 16, which is BAR 0 by another number, or as a dma-buf.
    var displayPlaneType: DisplayPlane.PlaneType { get }

    /// What it shows; `nil` while that is nothing.
    var picture: MockPicture? { get }
}
