public import VFIO

/// A virtual GPU like the kernel's samples: a mediated device with a framebuffer in BAR 0.
public protocol DisplayDevice: MockDevice {
    /// How it exposes its framebuffer: as region 16, an alias of BAR 0, or as a dma-buf.
    var displayPlaneType: DisplayPlane.PlaneType { get }

    /// The current framebuffer; `nil` while the display is off.
    var picture: MockPicture? { get }
}
