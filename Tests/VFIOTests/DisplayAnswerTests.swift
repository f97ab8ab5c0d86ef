@testable import VFIO

/// What the library makes of a kernel's answers about pictures, sound and odd.
@Suite struct DisplayAnswerTests {
    private let kernel = ScriptedKernel.machine()

    private func answerPlane(_ change: @escaping @Sendable (inout cvfio_device_gfx_plane_info) -> Void) {
        kernel.accept(CVFIO_DEVICE_QUERY_GFX_PLANE) { bytes in
            // A structure with a union is not bitwise copyable to Swift.
            change(&bytes.baseAddress!.assumingMemoryBound(to: cvfio_device_gfx_plane_info.self).pointee)
        }
    }

    @Test func aCursorIsRead() throws {
        answerPlane { plane in
            plane.drm_format = 0x3432_5241
            plane.drm_format_mod = 0x1_0000_0007
            (plane.width, plane.height, plane.stride, plane.size) = (64, 32, 256, 8192)
            (plane.x_pos, plane.y_pos, plane.x_hot, plane.y_hot) = (100, 200, 3, 4)
            plane.dmabuf_id = 5
        }
        let plane = try #require(try kernel.device().displayPlane(.cursor, as: .dmaBuf))
        #expect(plane.kind == .cursor)
        #expect(plane.location == .dmaBuf(5))
        #expect(plane.format == .argb8888)
        #expect("\(plane.format)" == "AR24")
        #expect(plane.formatModifier == 0x1_0000_0007)
        #expect(plane.position == .init(x: 100, y: 200))
        #expect(plane.hotSpot == .init(x: 3, y: 4))
    }

    @Test func noHotSpotIsNone() throws {
        answerPlane { ($0.drm_format, $0.x_hot, $0.y_hot) = (1, .max, .max) }
        #expect(try kernel.device().displayPlane(as: .region)?.hotSpot == nil)
        answerPlane { ($0.drm_format, $0.x_hot, $0.y_hot) = (1, 0, .max) }
        #expect(try kernel.device().displayPlane(as: .region)?.hotSpot == .init(x: 0, y: .max))
    }

    @Test func zerosAreNoPicture() throws {
        answerPlane { ($0.region_index, $0.stride) = (16, 4) }
        let device = try kernel.device()
        #expect(try device.displayPlane(as: .region) == nil)
        // And so the region was not announced.
        kernel.expectRefusal(.notFound) { _ = try device.region(RegionIndex(rawValue: 16)) }
    }

    @Test func aRegionThatIsAnnouncedIsAskedFor() throws {
        answerPlane { ($0.drm_format, $0.region_index) = (1, .max) }
        let device = try kernel.device()
        let plane = try #require(try device.displayPlane(as: .region))
        #expect(plane.location == .region(RegionIndex(rawValue: .max)))
        kernel.expectRefusals(of: CVFIO_DEVICE_GET_REGION_INFO, [.invalidArgument: .notFound]) {
            _ = try device.region(RegionIndex(rawValue: .max))
        }
    }

    @Test func aPlaneThatTheDeviceDoesNotHaveIsNotFound() throws {
        // As GVT-g answers for an overlay, and for a picture without size.
        kernel.answer(CVFIO_DEVICE_QUERY_GFX_PLANE) { (bytes) throws(Errno) in
            let flags = bytes.load(fromByteOffset: 4, as: UInt32.self)
            guard flags == CVFIO_GFX_PLANE_TYPE_DMABUF | CVFIO_GFX_PLANE_TYPE_PROBE else { throw .invalidArgument }
            return 0
        }
        let device = try kernel.device()
        #expect(try device.displayPlaneType() == .dmaBuf)
        for (type, code) in [(DisplayPlane.PlaneType.dmaBuf, VFIOError.Code.notFound), (.region, .unsupported)] {
            expectError(code, errno: .invalidArgument) { _ = try device.displayPlane(.overlay, as: type) }
        }
    }

    @Test func aPictureThatTheDeviceHasForgottenIsNotFound() throws {
        answerPlane { ($0.drm_format, $0.dmabuf_id) = (1, 1) }
        let device = try kernel.device()
        let plane = try #require(try device.displayPlane(as: .dmaBuf))
        kernel.expectRefusals(
            of: CVFIO_DEVICE_GET_GFX_DMABUF, [.noSuchFileOrDirectory: .notFound, .invalidArgument: .notFound]
        ) { _ = try device.makeDisplayDMABuf(of: plane) }
    }

    @Test func whatCannotBeShownIsAQuestionMark() {
        #expect("\(DRMFormat(rawValue: 0x7f00_4152))" == "RA??")
    }

    @Test func theDescriptorThatTheKernelGaveIsClosed() throws {
        let before = kernel.openNames
        do {
            answerPlane { ($0.drm_format, $0.dmabuf_id) = (1, 1) }
            let made = kernel.makeDescriptor("a picture", size: 4096)
            kernel.answer(CVFIO_DEVICE_GET_GFX_DMABUF) { (_) throws(Errno) in Int(made.rawValue) }
            let device = try kernel.device()
            let plane = try #require(try device.displayPlane(as: .dmaBuf))
            let window = try device.makeDisplayDMABuf(of: plane)
            #expect(window.byteCount == 4096)
            #expect(!kernel.openNames.contains("a picture"))
            try closeAll(window, device)
        }
        #expect(kernel.openNames == before)
    }
}
