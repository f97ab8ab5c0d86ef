internal import CVFIO
import SystemPackage
import VFIO

/// The requests of the kernel's samples mdpy and mbochs.
extension DeviceFile {
    /// mdpy's region of the framebuffer, an alias of BAR 0 beyond the number of regions.
    private static let pictureRegion: UInt32 = 16

    func displayControl(
        _ display: any DisplayDevice, _ request: UInt, _ argument: Argument
    ) throws(Errno) -> Int? {
        switch request {
        case CVFIO_DEVICE_GET_REGION_INFO: try displayRegion(display, argument)
        case CVFIO_DEVICE_GET_IRQ_INFO:
            var info = try argument.loadSized(cvfio_irq_info())
            if info.index >= CVFIO_PCI_NUM_IRQS { throw .invalidArgument }
            info.count = 0
            try argument.store(info)
        case CVFIO_DEVICE_SET_IRQS: throw .invalidArgument
        case CVFIO_DEVICE_RESET: function.reset()
        case CVFIO_DEVICE_QUERY_GFX_PLANE: try queryPlane(display, argument)
        case CVFIO_DEVICE_GET_GFX_DMABUF where display.displayPlaneType == .dmaBuf:
            return try openPicture(argument.load(UInt32(0)))
        case CVFIO_DEVICE_GET_INFO, CVFIO_DEVICE_FEATURE: return nil
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func displayRegion(_ display: any DisplayDevice, _ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_region_info())
        let isPicture = display.displayPlaneType == .region && info.index == Self.pictureRegion
        if info.index >= function.regionCount && !isPicture { throw .invalidArgument }
        let index = isPicture ? 0 : info.index
        info.flags = 0
        info.offset = 0
        info.size =
            index == CVFIO_PCI_CONFIG_REGION_INDEX
            ? UInt64(function.config.byteCount) : function.regionSize(Int(index))
        if info.size > 0 {
            info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            if function.isMappable(Int(index)) { info.flags |= CVFIO_REGION_INFO_FLAG_MMAP }
            info.offset = Self.offset(of: index)
        }
        try storeRegion(&info, function.typeCapability(of: index), argument)
    }

    // MARK: Framebuffers

    private func queryPlane(_ display: any DisplayDevice, _ argument: Argument) throws(Errno) {
        // Without the last word, which is reserved.
        let size = MemoryLayout<cvfio_device_gfx_plane_info>.size - 4
        var plane = try argument.loadSized(cvfio_device_gfx_plane_info(), argsz: size)
        let own =
            display.displayPlaneType == .region ? CVFIO_GFX_PLANE_TYPE_REGION : CVFIO_GFX_PLANE_TYPE_DMABUF
        if plane.flags == own | CVFIO_GFX_PLANE_TYPE_PROBE { return try argument.store(plane, size) }
        if plane.flags != own { throw .invalidArgument }
        // mdpy answers for every plane type.
        let isShown = display.displayPlaneType == .region || plane.drm_plane_type == DisplayPlane.Kind.primary.rawValue
        let picture = isShown ? display.picture : nil
        var number = Self.pictureRegion
        if display.displayPlaneType == .dmaBuf {
            number = 0
            if let picture {
                guard let known = function.pictures.firstIndex(of: picture) else {
                    // The sample registers a new framebuffer, but does not use it for this answer.
                    function.pictures.append(picture)
                    throw .noMemory
                }
                number = UInt32(known) + 1
            }
        }
        plane.drm_format = picture?.format.rawValue ?? 0
        plane.drm_format_mod = 0
        plane.width = UInt32(picture?.width ?? 0)
        plane.height = UInt32(picture?.height ?? 0)
        plane.stride = UInt32(picture?.stride ?? 0)
        plane.size = UInt32(picture?.byteCount ?? 0)
        plane.x_pos = 0
        plane.y_pos = 0
        plane.x_hot = 0
        plane.y_hot = 0
        plane.region_index = number
        try argument.store(plane, size)
    }

    private func openPicture(_ number: UInt32) throws(Errno) -> Int {
        guard number > 0, Int(number) <= function.pictures.count else { throw .noSuchFileOrDirectory }
        let picture = function.pictures[Int(number) - 1]
        if picture.offset % driver.core.host.pageSize != 0 { throw .invalidArgument }
        let buffer = DMABuf(byteCount: picture.byteCount, exporterName: "mbochs")
        return Int(try driver.core.open(buffer, byteCount: buffer.byteCount, flags: 0).rawValue)
    }
}
