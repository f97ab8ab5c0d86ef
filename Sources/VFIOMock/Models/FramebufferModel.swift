public import VFIO

/// The kernel's sample mediated device mdpy, 1b36:000f: a framebuffer of fixed size in BAR 0.
public struct FramebufferModel: DisplayDevice {
    public let pci: MockPCIFunction
    private let width: Int
    private let height: Int
    private let byteCount: Int

    /// - Parameters:
    ///   - width: In pixels of 4 bytes.
    ///   - height: In pixels.
    public init(width: Int = 640, height: Int = 480) {
        precondition(width > 0 && height > 0 && width * height <= 1 << 24, "a picture of at most 64 MiB")
        var size = 4096
        while size < width * height * 4 { size *= 2 }
        self.width = width
        self.height = height
        byteCount = size
        pci = MockPCIFunction(
            vendor: 0x1b36, device: 0x000f, classCode: 0x038000, revision: 1,
            bars: [0: .init(.memory, size, isPrefetchable: true)])
    }

    public var displayPlaneType: DisplayPlane.PlaneType { .region }

    public var picture: MockPicture? {
        MockPicture(
            format: .xrgb8888, width: width, height: height, stride: width * 4, offset: 0, byteCount: byteCount)
    }

    /// Fills the framebuffer with a grey ramp.
    public mutating func start(bus: borrowing MockBus) {
        for row in 0..<height {
            bus.writeMemory(
                bar: 0, at: row * width * 4, [UInt8](repeating: UInt8(row * 255 / height), count: width * 4))
        }
    }
}
