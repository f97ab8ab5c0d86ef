import CVFIO
import SystemPackage
import Testing

@testable import VFIO

/// What the library makes of a kernel's answers about pictures, sound and odd.
@Suite struct DisplayAnswerTests {
    private let kernel = ScriptedKernel.machine()

    /// Answers with words at their offsets in the structure.
    private func answerPlane(_ words: [Int: UInt32]) {
        kernel.accept(CVFIO_DEVICE_QUERY_GFX_PLANE) { bytes in
            for (offset, word) in words { bytes.storeBytes(of: word, toByteOffset: offset, as: UInt32.self) }
        }
    }

    private enum Field {
        static let format = 12
        static let modifier = 16
        static let width = 24
        static let height = 28
        static let stride = 32
        static let size = 36
        static let x = 40
        static let y = 44
        static let hotX = 48
        static let hotY = 52
        static let location = 56
    }

    @Test func aCursorIsRead() throws {
        answerPlane([
            Field.format: 0x3432_5241, Field.modifier: 7, Field.modifier + 4: 1, Field.width: 64, Field.height: 32,
            Field.stride: 256, Field.size: 8192, Field.x: 100, Field.y: 200, Field.hotX: 3, Field.hotY: 4,
            Field.location: 5,
        ])
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
        answerPlane([Field.format: 1, Field.hotX: .max, Field.hotY: .max])
        #expect(try kernel.device().displayPlane(as: .region)?.hotSpot == nil)
        answerPlane([Field.format: 1, Field.hotX: 0, Field.hotY: .max])
        #expect(try kernel.device().displayPlane(as: .region)?.hotSpot == .init(x: 0, y: .max))
    }

    @Test func zerosAreNoPicture() throws {
        answerPlane([Field.location: 16, Field.stride: 4])
        let device = try kernel.device()
        #expect(try device.displayPlane(as: .region) == nil)
        // And so the region was not announced.
        let error = expectError(.notFound) { _ = try device.region(RegionIndex(rawValue: 16)) }
        #expect(error?.errno == nil)
    }

    @Test func aRegionThatIsAnnouncedIsAskedFor() throws {
        answerPlane([Field.format: 1, Field.location: .max])
        kernel.answer(CVFIO_DEVICE_GET_REGION_INFO) { (_) throws(Errno) in throw .invalidArgument }
        let device = try kernel.device()
        let plane = try #require(try device.displayPlane(as: .region))
        #expect(plane.location == .region(RegionIndex(rawValue: .max)))
        expectError(.notFound, errno: .invalidArgument) { _ = try device.region(RegionIndex(rawValue: .max)) }
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

    @Test(arguments: [Errno.noSuchFileOrDirectory, .invalidArgument])
    func aPictureThatTheDeviceHasForgottenIsNotFound(_ errno: Errno) throws {
        answerPlane([Field.format: 1, Field.location: 1])
        kernel.answer(CVFIO_DEVICE_GET_GFX_DMABUF) { (_) throws(Errno) in throw errno }
        let device = try kernel.device()
        let plane = try #require(try device.displayPlane(as: .dmaBuf))
        expectError(.notFound, errno: errno) { _ = try device.makeDisplayDMABuf(of: plane) }
    }

    @Test func whatCannotBeShownIsAQuestionMark() {
        #expect("\(DRMFormat(rawValue: 0x7f00_4152))" == "RA??")
    }

    @Test func theDescriptorThatTheKernelGaveIsClosed() throws {
        let before = kernel.openNames
        do {
            answerPlane([Field.format: 1, Field.location: 1])
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
