internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    private static var displayPlace: String { "only virtual GPUs have a picture to show, such as Intel's GVT-g makes" }

    /// How the device hands out its pictures; `nil` when it has none (`VFIO_DEVICE_QUERY_GFX_PLANE` with
    /// `VFIO_GFX_PLANE_TYPE_PROBE`).
    public func displayFlavor() throws(VFIOError) -> DisplayPlane.Flavor? {
        for flavor in DisplayPlane.Flavor.allCases {
            do throws(Errno) {
                try probe(flavor)
                return flavor
            } catch {
                switch error {
                case .invalidArgument, .inappropriateIOCTLForDevice: continue
                default:
                    throw VFIOError(
                        .kernel, "ask how the device shows its pictures (VFIO_DEVICE_QUERY_GFX_PLANE)", "\(address)",
                        errno: error)
                }
            }
        }
        return nil
    }

    /// What a plane of the device shows now (`VFIO_DEVICE_QUERY_GFX_PLANE`).
    ///
    /// - Parameters:
    ///   - kind: Which plane.
    ///   - flavor: How the device hands out its pictures, as ``displayFlavor()`` says.
    /// - Returns: `nil` while the guest shows nothing there.
    /// - Throws: `.unsupported` when the device has no picture, or not in this way; `.notFound` when it has no such plane, or
    ///   what the guest has put there cannot be shown.
    public func displayPlane(
        _ kind: DisplayPlane.Kind = .primary, as flavor: DisplayPlane.Flavor
    ) throws(VFIOError) -> DisplayPlane? {
        let operation = "ask for the plane (VFIO_DEVICE_QUERY_GFX_PLANE)"
        var request = Self.planeRequest(flavor)
        request.drm_plane_type = kind.rawValue
        do throws(Errno) {
            try queryPlane(&request)
        } catch {
            switch error {
            case .inappropriateIOCTLForDevice:
                throw VFIOError(.unsupported, operation, "\(address)", errno: error, hint: Self.displayPlace)
            // Drivers have one answer for both.
            case .invalidArgument where hasPlanes(as: flavor):
                throw VFIOError(
                    .notFound, operation, "\(address)", errno: error,
                    hint: "the device has no such plane, or the guest has none there that can be shown")
            case .invalidArgument:
                throw VFIOError(
                    .unsupported, operation, "\(address)", errno: error,
                    hint: "the device hands out its pictures in another way: see displayFlavor()")
            default: throw VFIOError(.kernel, operation, "\(address)", errno: error)
            }
        }
        let plane = DisplayPlane(request, kind: kind, flavor: flavor)
        if case .region(let index)? = plane?.location {
            _ = core.state.withLock { $0.announcedRegions.insert(index) }
        }
        return plane
    }

    /// A dma-buf of the picture that a plane showed (`VFIO_DEVICE_GET_GFX_DMABUF`).
    ///
    /// It is for whoever shows pictures: other importers take it by its descriptor (``DMABuf/withFileDescriptor(_:)``), and
    /// no IOMMU of an address space does. Nothing revokes it, and its ``DMABuf/state`` is `.live` throughout. Ask once for
    /// each number, and keep it for as long as the plane has that number.
    ///
    /// - Throws: `.invalidArgument` for a plane in a region, `.notFound` when the device has forgotten the picture.
    public func makeDisplayDMABuf(of plane: DisplayPlane) throws(VFIOError) -> DMABuf {
        let operation = "get the picture as a dma-buf (VFIO_DEVICE_GET_GFX_DMABUF)"
        guard case .dmaBuf(let number) = plane.location else {
            throw VFIOError(
                .invalidArgument, operation, "\(address)", hint: "the picture is in a region: map that for the CPU")
        }
        let subject = "picture \(number) of \(address)"
        let kernel = core.kernel
        let own: OwnedDescriptor
        do throws(Errno) {
            var request = number
            let given = try kernel.control(core.descriptor, CVFIO_DEVICE_GET_GFX_DMABUF, with: &request)
            own = try Self.closingOnExec(
                OwnedDescriptor(FileDescriptor(rawValue: Int32(truncatingIfNeeded: given)), of: kernel))
        } catch {
            switch error {
            // mbochs, and Intel's GVT-g.
            case .noSuchFileOrDirectory, .invalidArgument:
                throw VFIOError(
                    .notFound, operation, subject, errno: error, hint: "ask for the plane again: it has changed")
            case .inappropriateIOCTLForDevice:
                throw VFIOError(.unsupported, operation, subject, errno: error, hint: Self.displayPlace)
            default: throw VFIOError(.kernel, operation, subject, errno: error)
            }
        }
        return try DMABuf(own, subject: subject, access: nil, rangeCount: nil, revocation: nil)
    }

    /// Another descriptor of the same file, which no program that is started inherits. The kernel leaves that to the
    /// driver, and drivers let it be inherited.
    private static func closingOnExec(_ given: consuming OwnedDescriptor) throws(Errno) -> OwnedDescriptor {
        let own = OwnedDescriptor(try given.kernel.duplicate(given.descriptor), of: given.kernel)
        try given.close()
        return own
    }

    private func probe(_ flavor: DisplayPlane.Flavor) throws(Errno) {
        var request = Self.planeRequest(flavor)
        request.flags |= CVFIO_GFX_PLANE_TYPE_PROBE
        try queryPlane(&request)
    }

    private func hasPlanes(as flavor: DisplayPlane.Flavor) -> Bool { (try? probe(flavor)) != nil }

    // Apart from the other requests, since a structure with a union is not bitwise copyable to Swift.
    private func queryPlane(_ request: inout cvfio_device_gfx_plane_info) throws(Errno) {
        try unsafe withUnsafeMutableBytes(of: &request) { (bytes) throws(Errno) in
            _ = try unsafe core.kernel.control(core.descriptor, CVFIO_DEVICE_QUERY_GFX_PLANE, bytes)
        }
    }

    private static func planeRequest(_ flavor: DisplayPlane.Flavor) -> cvfio_device_gfx_plane_info {
        var request = cvfio_device_gfx_plane_info()
        request.argsz = UInt32(MemoryLayout<cvfio_device_gfx_plane_info>.size)
        request.flags =
            switch flavor {
            case .region: CVFIO_GFX_PLANE_TYPE_REGION
            case .dmaBuf: CVFIO_GFX_PLANE_TYPE_DMABUF
            }
        return request
    }
}
