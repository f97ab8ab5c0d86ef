import Glibc

@testable import VFIO

/// The kernel's own answers, by its errno, to what the library would not ask.
extension Contract.KernelAnswerTests {
    // MARK: Devices

    @Test("questions about a device that are malformed", arguments: Scenario.all)
    func device(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        var info = cvfio_device_info()
        info.argsz = 8
        kernel.expectErrno(.invalidArgument, "too short", descriptor, CVFIO_DEVICE_GET_INFO, &info)
        var region = cvfio_region_info()
        region.argsz = 16
        kernel.expectErrno(.invalidArgument, "too short", descriptor, CVFIO_DEVICE_GET_REGION_INFO, &region)
        for index: UInt32 in [8, 9, 100] {
            region.argsz = 32
            region.index = index
            kernel.expectErrno(.invalidArgument, "region \(index)", descriptor, CVFIO_DEVICE_GET_REGION_INFO, &region)
        }
        var interrupts = cvfio_irq_info()
        interrupts.argsz = 16
        interrupts.index = 5
        kernel.expectErrno(.invalidArgument, "index 5", descriptor, CVFIO_DEVICE_GET_IRQ_INFO, &interrupts)
        expectErrno(.inappropriateIOCTLForDevice, "no request") {
            try kernel.control(descriptor, CVFIO_DEVICE_GET_INFO + 60, value: 0)
        }
        try device.close()
    }

    @Test("an answer says how long it is", arguments: Scenario.all)
    func lengths(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        // BAR 0 has a capability, which does not fit.
        var region = cvfio_region_info()
        region.argsz = 32
        #expect(try kernel.control(descriptor, CVFIO_DEVICE_GET_REGION_INFO, with: &region) == 0)
        #expect(region.argsz == 40)
        #expect(region.cap_offset == 0)
        #expect(region.flags & CVFIO_REGION_INFO_FLAG_CAPS != 0)
        // More room than is wanted stays as it was.
        let buffer = RequestBuffer(byteCount: 128)
        buffer.store(UInt32(128), at: 0)
        #expect(try kernel.control(descriptor, CVFIO_DEVICE_GET_REGION_INFO, with: buffer) == 0)
        #expect(buffer.header(UInt32.self) == 128)
        #expect(buffer.load(UInt32.self, at: 12) == 32)
        #expect(buffer.load(UInt16.self, at: 32) == CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE)
        try device.close()
    }

    @Test("interrupt requests that are malformed", arguments: Scenario.all)
    func interrupts(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        func set(_ flags: UInt32, _ index: UInt32, start: UInt32 = 0, count: UInt32 = 1, size: UInt32 = 24)
            throws(Errno) -> Int
        {
            let content = ABI.bytes([size, flags, index, start, count, .max])
            return try kernel.control(descriptor, CVFIO_DEVICE_SET_IRQS, with: RequestBuffer(content))
        }
        let (none, events) = (CVFIO_IRQ_SET_DATA_NONE, CVFIO_IRQ_SET_DATA_EVENTFD)
        let (trigger, mask) = (CVFIO_IRQ_SET_ACTION_TRIGGER, CVFIO_IRQ_SET_ACTION_MASK)
        expectErrno(.invalidArgument, "too short") { try set(events | trigger, 1, size: 16) }
        expectErrno(.invalidArgument, "no room for the events") { try set(events | trigger, 1, size: 20) }
        expectErrno(.invalidArgument, "no data type") { try set(trigger, 1) }
        expectErrno(.invalidArgument, "two data types") { try set(none | events | trigger, 1) }
        expectErrno(.inappropriateIOCTLForDevice, "no action") { try set(none, 1) }
        expectErrno(.inappropriateIOCTLForDevice, "two actions") { try set(none | trigger | mask, 1) }
        expectErrno(.invalidArgument, "unknown index") { try set(none | trigger, 5) }
        expectErrno(.invalidArgument, "beyond the last vector") { try set(none | trigger, 1, start: 1) }
        expectErrno(.invalidArgument, "a vector of MSI-X, of which there is none") { try set(none | trigger, 2) }
        expectErrno(.invalidArgument, "a trigger while MSI is off") { try set(none | trigger, 1) }
        expectErrno(.inappropriateIOCTLForDevice, "masking MSI") { try set(none | mask, 1) }
        expectErrno(.invalidArgument, "MSI off, which is off") { try set(none | trigger, 1, count: 0) }
        try device.close()
    }

    @Test("one kind of interrupts at a time", arguments: Scenario.all)
    func twoKinds(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        let vector = try device.enable(.msi)
        let event = try kernel.makeEvent()
        expectErrno(.invalidArgument) {
            try kernel.setInterrupts(
                descriptor, .intx, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, events: [event.rawValue])
        }
        try kernel.close(event)
        try closeAll(vector, device)
    }

    // MARK: type1

    @Test("maps and unmaps of a container that are malformed or overlap", arguments: Scenario.all)
    func type1(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        let container = try RawContainer(kernel, device: bench.edu)
        let memory = try Memory(kernel, pageCount: 4)
        let address = memory.address
        // The answers of newer kernels to a range that wraps, and of older ones.
        let wrap: Errno = bench.offer.reportsOverflow ? .overflow : .invalidArgument
        expectErrno(.invalidArgument, "length 0") { try container.map(address, 0, at: 0x1000) }
        expectErrno(.invalidArgument, "length off the page") { try container.map(address, 100, at: 0x1000) }
        expectErrno(.invalidArgument, "IOVA off the page") { try container.map(address, 4096, at: 0x1100) }
        expectErrno(.invalidArgument, "memory off the page") { try container.map(address + 8, 4096, at: 0x1000) }
        expectErrno(.invalidArgument, "no access") { try container.map(address, 4096, at: 0x1000, flags: 0) }
        expectErrno(.invalidArgument, "unknown flag") { try container.map(address, 4096, at: 0x1000, flags: 0x83) }
        expectErrno(.invalidArgument, "too short") { try container.map(address, 4096, at: 0x1000, size: 16) }
        expectErrno(wrap, "overflow") { try container.map(address, 8192, at: ~0xfff) }
        expectErrno(.invalidArgument, "the interrupt messages") { try container.map(address, 4096, at: 0xfee0_0000) }
        expectErrno(.invalidArgument, "beyond the address width") { try container.map(address, 4096, at: 1 << 62) }
        expectErrno(.badAddress, "no memory there") { try container.map(0x1000, 4096, at: 0x1000) }

        #expect(try container.map(address, 8192, at: 0x10_0000) == 0)
        expectErrno(.fileExists, "the same") { try container.map(address, 8192, at: 0x10_0000) }
        expectErrno(.fileExists, "a part") { try container.map(address, 4096, at: 0x10_1000) }
        expectErrno(.fileExists, "around") { try container.map(address, 16384, at: 0xf_f000) }

        // type1v2 does not cut a mapping in two.
        expectErrno(.invalidArgument, "the first half") { Int(try container.unmap(0x10_0000, 4096)) }
        expectErrno(.invalidArgument, "the second half") { Int(try container.unmap(0x10_1000, 4096)) }
        expectErrno(.invalidArgument, "length 0") { Int(try container.unmap(0x10_0000, 0)) }
        expectErrno(.invalidArgument, "off the page") { Int(try container.unmap(0x10_0100, 4096)) }
        expectErrno(wrap, "overflow") { Int(try container.unmap(~0xfff, 8192)) }
        #expect(try container.unmap(0x20_0000, 4096) == 0)
        // More than the mapping, with nothing else in it.
        #expect(try container.unmap(0xf_f000, 0x4000) == 8192)
        // A second time there is nothing left, which is no error to type1.
        #expect(try container.unmap(0x10_0000, 8192) == 0)

        // Two mappings at once, and all of them.
        #expect(try container.map(address, 4096, at: 0x10_0000) == 0)
        #expect(try container.map(address, 4096, at: 0x10_1000) == 0)
        #expect(try container.unmap(0x10_0000, 8192) == 8192)
        #expect(try container.map(address, 4096, at: 0x10_0000) == 0)
        #expect(try container.map(address, 8192, at: 0x40_0000) == 0)
        #expect(try container.unmap(0, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == 12288)
        try closeAll(container, memory)
    }

    @Test("a container before it has a group", arguments: Scenario.all)
    func emptyContainer(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        let container = try kernel.open("/dev/vfio/vfio", .readWrite)
        #expect(try kernel.control(container, CVFIO_GET_API_VERSION, value: 0) == 0)
        #expect(try kernel.control(container, CVFIO_CHECK_EXTENSION, value: CVFIO_TYPE1v2_IOMMU) == 1)
        #expect(try kernel.control(container, CVFIO_CHECK_EXTENSION, value: CVFIO_TYPE1_IOMMU) == 1)
        #expect(try kernel.control(container, CVFIO_CHECK_EXTENSION, value: CVFIO_UNMAP_ALL) == 1)
        #expect(try kernel.control(container, CVFIO_CHECK_EXTENSION, value: 77) == 0)
        expectErrno(.invalidArgument, "an IOMMU without a group") {
            try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU)
        }
        var info = cvfio_iommu_type1_info()
        info.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_info>.size)
        kernel.expectErrno(.invalidArgument, "questions to no IOMMU", container, CVFIO_IOMMU_GET_INFO, &info)
        try kernel.close(container)
    }

    @Test("a group is opened once, and gives out its own devices", arguments: Scenario.all)
    func group(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        let container = try RawContainer(kernel, device: bench.edu)
        expectErrno(.resourceBusy, "a second time") { Int(try kernel.open(container.node, .readWrite).rawValue) }
        expectErrno(.operationNotSupportedByDevice, "a device of another group") {
            try kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(bench.nvme)")
        }
        expectErrno(.operationNotSupportedByDevice, "no device") {
            try kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "nonsense")
        }
        try container.close()
    }

    // MARK: iommufd

    @Test("objects and mappings of an iommufd [iommufd.simple_close]", arguments: Scenario.all)
    func iommufd(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        guard bench.offer.hasIOMMUFD else {
            expectErrno(.noSuchFileOrDirectory) { Int(try kernel.open("/dev/iommu", .readWrite).rawValue) }
            return
        }
        let iommufd = try RawIOMMUFD(kernel)
        let memory = try Memory(kernel, pageCount: 4)
        let address = memory.address
        expectErrno(.invalidArgument, "length 0") { try iommufd.map(address, 0, at: 0x1000) }
        expectErrno(.invalidArgument, "no access") { try iommufd.map(address, 4096, at: 0x1000, flags: 1) }
        expectErrno(.notSupported, "unknown flag") { try iommufd.map(address, 4096, at: 0x1000, flags: 0x87) }
        expectErrno(.overflow, "overflow") { try iommufd.map(address, 8192, at: ~0xfff) }
        expectErrno(.noSuchFileOrDirectory, "no such IOAS") { try iommufd.map(address, 4096, at: 0, ioas: 99) }
        expectErrno(.invalidArgument, "too short") { try iommufd.map(address, 4096, at: 0x1000, size: 16) }
        #expect(try iommufd.map(address, 8192, at: 0x10_0000) == 0)
        expectErrno(.fileExists, "the same") { try iommufd.map(address, 8192, at: 0x10_0000) }
        expectErrno(.fileExists, "a part") { try iommufd.map(address, 4096, at: 0x10_1000) }
        expectErrno(.noSuchFileOrDirectory, "half of it") { Int(try iommufd.unmap(0x10_0000, 4096)) }
        expectErrno(.noSuchFileOrDirectory, "nothing there") { Int(try iommufd.unmap(0x20_0000, 4096)) }
        #expect(try iommufd.unmap(0x10_0000, 8192) == 8192)
        expectErrno(.noSuchFileOrDirectory, "a second time") { Int(try iommufd.unmap(0x10_0000, 8192)) }
        #expect(try iommufd.map(address, 4096, at: 0x10_0000) == 0)
        #expect(try iommufd.map(address, 4096, at: 0x10_1000) == 0)
        #expect(try iommufd.unmap(0xf_f000, 0x4000) == 8192)
        #expect(try iommufd.unmap(0, .max) == 0)
        expectErrno(.inappropriateIOCTLForDevice, "no request") {
            try kernel.control(iommufd.descriptor, CIOMMU_IOAS_ALLOC + 0x60, value: 0)
        }
        try closeAll(iommufd, memory)
    }

    @Test("a dma-buf in an IOAS [iommufd_ioas.dmabuf_simple, iommufd_ioas.dmabuf_revoke]", arguments: Scenario.all)
    func dmaBufInIOAS(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let iommufd = try RawIOMMUFD(bench.kernel)
        var device: Device? = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device!.exportDMABuf(of: .bar2, 0..<16384)
        let several = try device!.exportDMABuf(of: .bar2, ranges: [0..<4096, 8192..<12288])
        let file = window.descriptor
        expectErrno(.invalidArgument, "length 0") { try iommufd.mapFile(file, 0, at: 0x10_0000) }
        expectErrno(.invalidArgument, "longer than it is") { try iommufd.mapFile(file, 20480, at: 0x10_0000) }
        expectErrno(.invalidArgument, "past its end") { try iommufd.mapFile(file, 8192, at: 0x10_0000, start: 12288) }
        expectErrno(.overflow, "overflow") { try iommufd.mapFile(file, 8192, at: 0x10_0000, start: ~0xfff) }
        expectErrno(.badFileDescriptor, "no file") {
            try iommufd.mapFile(FileDescriptor(rawValue: -1), 4096, at: 0x10_0000)
        }
        expectErrno(.notSupported, "two ranges") { try iommufd.mapFile(several.descriptor, 8192, at: 0x10_0000) }
        // A part of it, and all of it.
        #expect(try iommufd.mapFile(file, 4096, at: 0x10_0000, start: 8192) == 0)
        #expect(try iommufd.mapFile(file, 16384, at: 0x20_0000) == 0)
        expectErrno(.fileExists, "over another") { try iommufd.mapFile(file, 4096, at: 0x20_3000) }
        expectErrno(.noSuchFileOrDirectory, "half of it") { Int(try iommufd.unmap(0x20_0000, 8192)) }

        try device!.setMemoryDecode(false)
        expectErrno(.operationNotSupportedByDevice, "revoked") { try iommufd.mapFile(file, 4096, at: 0x30_0000) }
        // Of what is wrong with it, the revocation is seen first.
        expectErrno(.operationNotSupportedByDevice, "revoked, of two ranges") {
            try iommufd.mapFile(several.descriptor, 8192, at: 0x30_0000)
        }
        expectErrno(.fileExists, "the place is still taken") { try iommufd.map(0x1000, 4096, at: 0x20_0000) }
        #expect(try iommufd.unmap(0x20_0000, 16384) == 16384)
        try device!.setMemoryDecode(true)
        #expect(try iommufd.mapFile(file, 16384, at: 0x20_0000) == 0)

        try device.take()!.close()
        expectErrno(.operationNotSupportedByDevice, "dead") { try iommufd.mapFile(file, 4096, at: 0x30_0000) }
        #expect(try iommufd.unmap(0x20_0000, 16384) == 16384)
        #expect(try iommufd.unmap(0x10_0000, 4096) == 4096)
        try closeAll(window, several, iommufd)
    }

    @Test("a dma-buf that is open for reading is mapped for writing all the same", arguments: Scenario.all)
    func readOnlyDescriptor(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        let device = try Device(at: bench.memory, in: space)
        let window = try device.exportDMABuf(of: .bar2, 0..<4096, access: .read)
        let stranger = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
        let peer = try space.map(stranger, access: .readWrite)
        try edu.write([1, 2, 3, 4], at: peer.iova, by: landing)
        try edu.expect([1, 2, 3, 4], at: peer.iova, by: landing)
        try closeAll(peer, stranger, window)
        try closeAll(landing, device, edu)
    }

    @Test(
        "a device's own node [vfio_cdev.bind, vfio_cdev.get_info_without_bind_fails, vfio_cdev.bind_bad_iommufd_fails, vfio_cdev.repeated_bind_fails, vfio_cdev.attach_detatch_pt, vfio_cdev.attach_invalid_pt_fails]",
        arguments: Scenario.all)
    func deviceNode(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        let folder = FilePath("/sys/bus/pci/devices/\(bench.nvme)/vfio-dev")
        guard bench.offer.hasIOMMUFD else {
            let error = #expect(throws: Errno.self) {
                let name = try kernel.names(in: folder).first ?? "none"
                _ = try kernel.open(FilePath("/dev/vfio/devices/\(name)"), .readWrite)
            }
            #expect(error == .noSuchFileOrDirectory)
            return
        }
        let name = try #require(try kernel.names(in: folder).first)
        let device = try kernel.open(FilePath("/dev/vfio/devices/\(name)"), .readWrite)
        var info = cvfio_device_info()
        info.argsz = 24
        kernel.expectErrno(.invalidArgument, "get_info_without_bind_fails", device, CVFIO_DEVICE_GET_INFO, &info)
        let iommufd = try RawIOMMUFD(kernel)
        expectErrno(.invalidArgument, "bind_bad_iommufd_fails") { try iommufd.bind(device, to: -2) }
        #expect(try iommufd.bind(device) == 0)
        #expect(try kernel.control(device, CVFIO_DEVICE_GET_INFO, with: &info) == 0)
        expectErrno(.invalidArgument, "repeated_bind_fails") { try iommufd.bind(device) }
        expectErrno(.noSuchFileOrDirectory, "attach_invalid_pt_fails") { try iommufd.attach(device, to: .max) }
        #expect(try iommufd.attach(device) == 0)
        try ABI.detachDevice().send(to: device, of: kernel)
        try kernel.close(device)
        try iommufd.close()
    }
}
