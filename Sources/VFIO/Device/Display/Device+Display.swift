internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    static var displayPlace: String { "only virtual GPUs have a picture to show, such as Intel's GVT-g makes" }

    /// Returns how the device provides its framebuffers; `nil` if it has no display (`VFIO_GFX_PLANE_TYPE_PROBE`).
    /// The corresponding request is `VFIO_DEVICE_QUERY_GFX_PLANE`.
    public func displayPlaneType() throws(VFIOError) -> DisplayPlane.PlaneType? {
        for type in DisplayPlane.PlaneType.allCases {
            let isOffered = try ABI.queryPlane(0, inRegion: type == .region, isProbe: true).isOffered(
                on: core, "ask how the device shows its pictures", "\(address)")
            if isOffered { return type }
        }
        return nil
    }

    /// Returns the current framebuffer of a plane. The corresponding request is `VFIO_DEVICE_QUERY_GFX_PLANE`.
    ///
    /// - Parameters:
    ///   - kind: The plane.
    ///   - type: How the device provides its framebuffers: the result of ``displayPlaneType()``.
    /// - Returns: The plane; `nil` while the guest shows nothing there.
    /// - Throws: `.unsupported` if the device has no display, or not of this type; `.notFound` if it has no such plane,
    ///   or the guest has set it up in an unsupported way.
    public func displayPlane(
        _ kind: DisplayPlane.Kind = .primary, as type: DisplayPlane.PlaneType
    ) throws(VFIOError) -> DisplayPlane? {
        let answer: cvfio_device_gfx_plane_info
        do throws(Errno) {
            answer = try ABI.queryPlane(kind.rawValue, inRegion: type == .region).perform(on: core)
        } catch {
            // Drivers return the same errno in both cases.
            let isMissing = error == .invalidArgument && hasPlanes(as: type)
            throw VFIOError(
                refused: error, ABI.Call.queryPlane.operation("ask for the plane"), "\(address)",
                [
                    .inappropriateIOCTLForDevice: (.unsupported, Self.displayPlace),
                    .invalidArgument: isMissing
                        ? (.notFound, "the device has no such plane, or the guest has none there that can be shown")
                        : (.unsupported, "the device hands out its pictures in another way: see displayPlaneType()"),
                ])
        }
        let plane = DisplayPlane(answer, kind: kind, type: type)
        if case .region(let index)? = plane?.location {
            _ = core.state.withLock { $0.announcedRegions.insert(index) }
        }
        return plane
    }

    private func hasPlanes(as type: DisplayPlane.PlaneType) -> Bool {
        (try? ABI.queryPlane(0, inRegion: type == .region, isProbe: true).perform(on: core)) != nil
    }
}
