@testable import VFIO

/// Virtual GPUs: the kernel's samples mdpy, whose picture is in a region, and mbochs, whose pictures are dma-bufs.
extension Contract.DisplayTests {
    private static let screen: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa5001"
    private static let bochs: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa5002"

    private func withScreen(_ scenario: Scenario, _ body: (borrowing Bench, borrowing Device) throws -> Void) throws {
        let bench = try scenario.makeBench()
        try bench.withMediated([Self.screen], by: "mdpy", type: "mdpy-vga") {
            let device = try Device(mediated: Self.screen, in: try bench.makeSpace())
            do { try body(bench, device) }
            try device.close()
        }
    }

    private func withBochs(_ scenario: Scenario, _ body: (borrowing Bench, borrowing Device) throws -> Void) throws {
        let bench = try scenario.makeBench()
        try bench.withMediated([Self.bochs], by: "mbochs", type: "mbochs-small") {
            let device = try Device(mediated: Self.bochs, in: try bench.makeSpace())
            do { try body(bench, device) }
            try device.close()
        }
    }

    /// Sets a picture up, as a guest's driver does: width, height, 32 bits a pixel, on.
    private func show(_ device: borrowing Device, width: UInt16, height: UInt16, fromRow row: UInt16 = 0) throws {
        try device.withRegisters(.bar2) { registers in
            for (number, value) in [(1, width), (2, height), (3, 32), (9, row), (4, 1)] as [(Int, UInt16)] {
                registers.write16(value, at: 0x500 + number * 2)
            }
        }
    }

    /// What is shown. The sample answers ENOMEM to the first question after a change: it has made a note of the new
    /// picture by then, and not looked at the note.
    private func newPlane(_ device: borrowing Device) throws -> DisplayPlane? {
        let error = #expect(throws: VFIOError.self) { _ = try device.displayPlane(as: .dmaBuf) }
        #expect(error?.errno == .noMemory)
        return try device.displayPlane(as: .dmaBuf)
    }

    // MARK: A region

    @Test("a picture in a region (VFIO_DEVICE_QUERY_GFX_PLANE)", arguments: Scenario.all)
    func region(_ scenario: Scenario) throws {
        try withScreen(scenario) { _, device in
            #expect(try device.displayPlaneType() == .region)
            let index = RegionIndex(rawValue: 16)
            // The device tells of nine regions, and the picture is in none of them.
            #expect(device.info.regionCount == 9)
            expectRefusal(.notFound) { _ = try device.region(index) }
            guard let plane = try device.displayPlane(as: .region) else {
                Issue.record("nothing is shown")
                return
            }
            #expect(plane.kind == .primary)
            #expect(plane.location == .region(index))
            #expect(plane.format == .xrgb8888)
            #expect("\(plane.format)" == "XR24")
            #expect(plane.formatModifier == 0)
            #expect((plane.width, plane.height, plane.stride) == (640, 480, 2560))
            #expect(plane.byteCount == 2 << 20)
            #expect(plane.position == .init(x: 0, y: 0))
            #expect(plane.hotSpot == .init(x: 0, y: 0))

            #expect(try device.region(index).byteCount == 2 << 20)
            #expect(try device.region(.bar0).byteCount == 2 << 20)
            let picture = try device.map(index)
            picture.expect([254, 254, 254, 254], at: 479 * 2560)
            picture.fill([1, 2, 3, 4], at: 2560)
            // It is BAR 0 by another name.
            let same = try device.withRegisters(.bar0) { $0.read32(at: 2560) }
            #expect(same == 0x0403_0201)
            try picture.close()
            expectRefusal(.invalidArgument) { _ = try device.makeDisplayDMABuf(of: plane) }
            expectRefusal(.unsupported, .invalidArgument) { _ = try device.displayPlane(as: .dmaBuf) }
        }
    }

    @Test("what else such a device is: a vendor capability, and no interrupts", arguments: Scenario.all)
    func screen(_ scenario: Scenario) throws {
        try withScreen(scenario) { (bench, device) throws in
            #expect(try device.config.read32(at: 0) == 0x000f_1b36)
            #expect(try device.interrupts(.intx).count == 0)
            #expect(try device.interrupts(.msi).count == 0)
            #expect(device.info.canReset == false)
            expectRefusal(.unsupported) { try device.reset() }
            #expect(try device.supports(.migration) == false)
            expectErrno(.invalidArgument) {
                try bench.kernel.setInterrupts(device.core.descriptor, .intx, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 0)
            }
            #expect(try bench.kernel.control(device.core.descriptor, CVFIO_DEVICE_RESET, value: 0) == 0)
        }
    }

    // MARK: dma-bufs

    @Test("pictures as dma-bufs (VFIO_DEVICE_GET_GFX_DMABUF)", arguments: Scenario.all)
    func dmaBuf(_ scenario: Scenario) throws {
        try withBochs(scenario) { bench, device in
            #expect(try device.displayPlaneType() == .dmaBuf)
            // Nothing is shown until the guest has switched it on.
            #expect(try device.displayPlane(as: .dmaBuf) == nil)
            try show(device, width: 640, height: 480)
            let plane = try #require(try newPlane(device))
            #expect(plane.location == .dmaBuf(1))
            #expect(plane.format == .xrgb8888)
            #expect((plane.width, plane.height, plane.stride) == (640, 480, 2560))
            #expect(plane.byteCount == 640 * 480 * 4)
            // Asked again it is the same, and on other planes there is nothing.
            #expect(try device.displayPlane(as: .dmaBuf) == plane)
            #expect(try device.displayPlane(.cursor, as: .dmaBuf) == nil)
            expectRefusal(.unsupported, .invalidArgument) { _ = try device.displayPlane(as: .region) }

            let picture = try device.makeDisplayDMABuf(of: plane)
            #expect(picture.byteCount == 640 * 480 * 4)
            #expect(picture.state == .live)
            #expect(picture.isRevocationTracked == false)
            try picture.setName("screen")
            let information = try bench.kernel.text(of: FilePath("/proc/self/fdinfo/\(picture.descriptor.rawValue)"))
            #expect(information.contains("name:\tscreen"))
            #expect(information.contains("exp_name:\tmbochs"))
            // Closed when another program is executed, which the kernel itself does not see to.
            #expect(information.contains("flags:\t02000000"))
            // The sample opens it for reading, and then refuses to map it because it is not open for writing.
            expectErrno(.invalidArgument) {
                let request = MemoryMapRequest(
                    byteCount: 4096, source: .file(picture.descriptor, offset: 0), isWritable: false)
                return Int(bitPattern: try bench.kernel.map(request))
            }
            if scenario.usesIOMMUFD {
                expectRefusal(.unsupported, .notSupported) { _ = try device.space.map(picture) }
            }
            try picture.close()
        }
    }

    @Test("a picture stays when the device shows another, and when it is closed", arguments: Scenario.all)
    func several(_ scenario: Scenario) throws {
        try withBochs(scenario) { bench, device in
            try show(device, width: 640, height: 480)
            let first = try #require(try newPlane(device))
            let window = try device.makeDisplayDMABuf(of: first)
            try show(device, width: 800, height: 600, fromRow: 128)
            let second = try #require(try newPlane(device))
            #expect(second.location == .dmaBuf(2))
            #expect((second.width, second.stride, second.byteCount) == (800, 3200, 800 * 600 * 4))
            let other = try device.makeDisplayDMABuf(of: second)
            #expect(other.byteCount == 800 * 600 * 4)
            // Back to the first: it is known by its number still.
            try show(device, width: 640, height: 480)
            #expect(try device.displayPlane(as: .dmaBuf) == first)
            try closeAll(other, window)
            let unknown = DisplayPlane(cvfio_device_gfx_plane_info(number: 99), kind: .primary, type: .dmaBuf)
            expectRefusal(.notFound, .noSuchFileOrDirectory) {
                _ = try device.makeDisplayDMABuf(of: try #require(unknown))
            }
            // Too small to be a picture, and too large for the memory.
            try show(device, width: 32, height: 32)
            #expect(try device.displayPlane(as: .dmaBuf) == nil)
            try show(device, width: 2000, height: 2000)
            #expect(try device.displayPlane(as: .dmaBuf) == nil)
        }
    }

    @Test("a region says what it holds: the monitor (VFIO_REGION_INFO_CAP_TYPE)", arguments: Scenario.all)
    func monitor(_ scenario: Scenario) throws {
        try withBochs(scenario) { _, device in
            #expect(device.info.regionCount == 10)
            let index = RegionIndex(rawValue: 9)
            let region = try device.region(index)
            #expect(region.type == .graphicsEDID)
            #expect(region.type?.vendor == nil)
            #expect(region.byteCount == 4096)
            #expect(region.isMappable == false)
            #expect(try device.regions().map(\.index) == [.bar0, .bar2, .config, index])
            #expect(try device.regions().compactMap(\.type) == [.graphicsEDID])
            try device.withRegisters(index) { registers in
                // Where the description is, how long it may be, and what the monitor can.
                #expect(registers.read32(at: 0) == 2048)
                #expect(registers.read32(at: 4) == 1024)
                #expect(registers.read32(at: 12) == 800)
                #expect(registers.read32(at: 16) == 600)
                registers.write32(99, at: 12)
                #expect(registers.read32(at: 12) == 800)
                registers.write32(128, at: 8)
                registers.write32(CVFIO_DEVICE_GFX_LINK_STATE_UP, at: 20)
                #expect(registers.read32(at: 8) == 128)
                registers.write32(0x00ff_ffff, at: 2048)
                #expect(registers.read32(at: 2048) == 0x00ff_ffff)
            }
        }
    }

    // MARK: Refusals

    @Test("the kernel's own answers to questions that are wrong", arguments: Scenario.all)
    func answers(_ scenario: Scenario) throws {
        try withBochs(scenario) { (bench, device) throws in
            let descriptor = device.core.descriptor
            let (probe, region, dmaBuf) = (
                CVFIO_GFX_PLANE_TYPE_PROBE, CVFIO_GFX_PLANE_TYPE_REGION, CVFIO_GFX_PLANE_TYPE_DMABUF
            )
            #expect(try bench.kernel.query(descriptor, flags: probe | dmaBuf) == 0)
            for flags in [0, probe, region, probe | region, dmaBuf | region, probe | dmaBuf | region, 8] {
                expectErrno(.invalidArgument, "flags \(flags)") { try bench.kernel.query(descriptor, flags: flags) }
            }
            expectErrno(.invalidArgument, "too short") { try bench.kernel.query(descriptor, flags: dmaBuf, size: 59) }
            #expect(try bench.kernel.query(descriptor, flags: dmaBuf, size: 60) == 0)
        }
    }

    @Test("what is no GPU has no picture", arguments: Scenario.all)
    func notThere(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: try bench.makeSpace())
        #expect(try device.displayPlaneType() == nil)
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { _ = try device.displayPlane(as: .region) }
        let plane = DisplayPlane(cvfio_device_gfx_plane_info(number: 1), kind: .primary, type: .dmaBuf)
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) {
            _ = try device.makeDisplayDMABuf(of: try #require(plane))
        }
        try device.close()
    }
}

extension cvfio_device_gfx_plane_info {
    /// A picture as a dma-buf of some number.
    fileprivate init(number: UInt32) {
        self.init()
        drm_format = DRMFormat.xrgb8888.rawValue
        dmabuf_id = number
    }
}

extension Kernel {
    /// `VFIO_DEVICE_QUERY_GFX_PLANE` of the primary plane.
    fileprivate func query(_ device: FileDescriptor, flags: UInt32, size: UInt32 = 64) throws(Errno) -> Int {
        let buffer = RequestBuffer(byteCount: 64)
        buffer.store(size, at: 0)
        buffer.store(flags, at: 4)
        buffer.store(DisplayPlane.Kind.primary.rawValue, at: 8)
        return try control(device, CVFIO_DEVICE_QUERY_GFX_PLANE, with: buffer)
    }
}
