internal import CVFIO

/// One of the pictures that a virtual GPU shows: the screen, or the cursor over it.
public struct DisplayPlane: Sendable, Hashable {
    /// Which plane, by the numbers of DRM (`DRM_PLANE_TYPE_…`).
    public struct Kind: RawRepresentable, Sendable, Hashable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Something over or under the screen, such as a film.
        public static var overlay: Kind { Kind(rawValue: 0) }
        /// The screen.
        public static var primary: Kind { Kind(rawValue: 1) }
        /// The mouse pointer.
        public static var cursor: Kind { Kind(rawValue: 2) }
    }

    /// How a device hands out its pictures. Each device has one way.
    public enum PlaneType: Sendable, Hashable, CaseIterable {
        /// In a region of the device, which is the same memory for each picture (`VFIO_GFX_PLANE_TYPE_REGION`).
        case region
        /// As a dma-buf for each picture (`VFIO_GFX_PLANE_TYPE_DMABUF`).
        case dmaBuf
    }

    /// Where the picture is.
    public enum Location: Sendable, Hashable {
        /// In a region. Its number may be beyond ``DeviceInfo/regionCount``, and is good for ``Device/region(_:)`` and
        /// ``Device/map(_:_:)`` once it was told here.
        case region(RegionIndex)
        /// In the dma-buf of that number, which ``Device/makeDisplayDMABuf(of:)`` gives.
        case dmaBuf(UInt32)
    }

    /// A point in pixels, from the upper left.
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
    /// How a pixel is laid out.
    public let format: DRMFormat
    /// How pixels are ordered beyond rows, by the numbers of DRM; 0 is row by row.
    public let formatModifier: UInt64
    /// In pixels.
    public let width: UInt32
    /// In pixels.
    public let height: UInt32
    /// From the start of one row to that of the next, in bytes.
    public let stride: UInt32
    /// The size of the memory that holds the picture, in bytes. It may be more than the rows take.
    public let byteCount: UInt32
    /// Where a cursor is on the screen.
    public let position: Point
    /// Which of its points a cursor points with; `nil` when the device does not tell.
    public let hotSpot: Point?

    /// Reads the kernel's answer.
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
