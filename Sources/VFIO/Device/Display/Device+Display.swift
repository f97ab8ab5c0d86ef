internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    static var displayPlace: String { "only virtual GPUs have a picture to show, such as Intel's GVT-g makes" }

    /// How the device hands out its pictures; `nil` when it has none (`VFIO_GFX_PLANE_TYPE_PROBE`).
    /// The corresponding request is `VFIO_DEVICE_QUERY_GFX_PLANE`.
    public func displayPlaneType() throws(VFIOError) -> DisplayPlane.PlaneType? {
        for type in DisplayPlane.PlaneType.allCases {
            let isOffered = try ABI.queryPlane(0, inRegion: type == .region, isProbe: true).isOffered(
                on: core, "ask how the device shows its pictures", "\(address)")
            if isOffered { return type }
        }
        return nil
    }

    /// What a plane of the device shows now. The corresponding request is `VFIO_DEVICE_QUERY_GFX_PLANE`.
    ///
    /// - Parameters:
    ///   - kind: Which plane.
    ///   - type: How the device hands out its pictures, as ``displayPlaneType()`` says.
    /// - Returns: `nil` while the guest shows nothing there.
    /// - Throws: `.unsupported` when the device has no picture, or not in this way; `.notFound` when it has no such plane, or
    ///   what the guest has put there cannot be shown.
    public func displayPlane(
        _ kind: DisplayPlane.Kind = .primary, as type: DisplayPlane.PlaneType
    ) throws(VFIOError) -> DisplayPlane? {
        let answer: cvfio_device_gfx_plane_info
        do throws(Errno) {
            answer = try ABI.queryPlane(kind.rawValue, inRegion: type == .region).perform(on: core)
        } catch {
            // Drivers have one answer for both.
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
