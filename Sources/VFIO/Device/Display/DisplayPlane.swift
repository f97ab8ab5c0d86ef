internal import CVFIO

/// A plane of a virtual GPU, with its framebuffer: the screen, or the cursor.
public struct DisplayPlane: Sendable, Hashable {
    /// A plane, by its number in DRM (`DRM_PLANE_TYPE_…`).
    public struct Kind: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// A plane above or below the primary one, such as for video.
        public static var overlay: Kind { Kind(rawValue: 0) }
        /// The screen.
        public static var primary: Kind { Kind(rawValue: 1) }
        /// The mouse pointer.
        public static var cursor: Kind { Kind(rawValue: 2) }
    }

    /// How a device provides its framebuffers. Each device has one type.
    public enum PlaneType: Sendable, Hashable, CaseIterable {
        /// In a region of the device, which is the same memory for each framebuffer (`VFIO_GFX_PLANE_TYPE_REGION`).
        case region
        /// As one dma-buf per framebuffer (`VFIO_GFX_PLANE_TYPE_DMABUF`).
        case dmaBuf
    }

    /// The location of the framebuffer.
    public enum Location: Sendable, Hashable {
        /// In a region. Its index may be beyond ``DeviceInfo/regionCount``; ``Device/region(_:)`` and
        /// ``Device/map(_:_:)`` accept it after it was returned here.
        case region(RegionIndex)
        /// In the dma-buf of that number, which ``Device/makeDisplayDMABuf(of:)`` returns.
        case dmaBuf(UInt32)
    }

    /// A point in pixels, from the upper left corner.
    public struct Point: Sendable, Hashable {
        public let x: UInt32
        public let y: UInt32

        public init(x: UInt32, y: UInt32) {
            self.x = x
            self.y = y
        }
    }

    public let kind: Kind
    public let location: Location
    /// The pixel format.
    public let format: DRMFormat
    /// The DRM format modifier, which describes the pixel order; 0 is linear.
    public let formatModifier: UInt64
    /// The width in pixels.
    public let width: UInt32
    /// The height in pixels.
    public let height: UInt32
    /// The distance between the starts of two rows, in bytes.
    public let stride: UInt32
    /// The size of the framebuffer's memory, in bytes. It may be more than the rows take.
    public let byteCount: UInt32
    /// The position of a cursor on the screen.
    public let position: Point
    /// The hot spot of a cursor; `nil` if the device does not report it.
    public let hotSpot: Point?

    /// Decodes the kernel's answer.
    ///
    /// - Returns: `nil` while the guest shows nothing.
    init?(_ answer: cvfio_device_gfx_plane_info, kind: Kind, type: PlaneType) {
        guard answer.drm_format != 0 || answer.width != 0 || answer.height != 0 || answer.size != 0 else { return nil }
        self.kind = kind
        location =
            switch type {
            case .region: .region(RegionIndex(rawValue: answer.region_index))
            case .dmaBuf: .dmaBuf(answer.dmabuf_id)
            }
        format = DRMFormat(rawValue: answer.drm_format)
        formatModifier = answer.drm_format_mod
        width = answer.width
        height = answer.height
        stride = answer.stride
        byteCount = answer.size
        position = Point(x: answer.x_pos, y: answer.y_pos)
        hotSpot =
            answer.x_hot == .max && answer.y_hot == .max ? nil : Point(x: answer.x_hot, y: answer.y_hot)
    }
}
