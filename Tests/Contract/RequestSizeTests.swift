@testable import VFIO

/// Requests of the wrong length: too short, and longer than the kernel knows.
extension Contract.RequestSizeTests {
    /// A request of an iommufd, with the shortest length that the kernel takes, and the longest that it knows.
    private struct Sized {
        let name: String
        let request: UInt
        let shortest: Int
        let longest: Int

        init<Structure>(_ name: String, _ request: UInt, _ type: Structure.Type, shortest: Int? = nil) {
            self.name = name
            self.request = request
            longest = MemoryLayout<Structure>.size
            self.shortest = shortest ?? longest
        }
    }

    private static let requests: [Sized] = [
        Sized("IOMMU_DESTROY", CIOMMU_DESTROY, ciommu_destroy.self),
        Sized("IOMMU_GET_HW_INFO", CIOMMU_GET_HW_INFO, ciommu_hw_info.self, shortest: 32),
        Sized("IOMMU_HWPT_ALLOC", CIOMMU_HWPT_ALLOC, ciommu_hwpt_alloc.self, shortest: 24),
        Sized("IOMMU_HWPT_INVALIDATE", CIOMMU_HWPT_INVALIDATE, ciommu_hwpt_invalidate.self),
        Sized("IOMMU_IOAS_ALLOC", CIOMMU_IOAS_ALLOC, ciommu_ioas_alloc.self),
        Sized("IOMMU_IOAS_IOVA_RANGES", CIOMMU_IOAS_IOVA_RANGES, ciommu_ioas_iova_ranges.self),
        Sized("IOMMU_IOAS_ALLOW_IOVAS", CIOMMU_IOAS_ALLOW_IOVAS, ciommu_ioas_allow_iovas.self),
        Sized("IOMMU_IOAS_MAP", CIOMMU_IOAS_MAP, ciommu_ioas_map.self),
        Sized("IOMMU_IOAS_COPY", CIOMMU_IOAS_COPY, ciommu_ioas_copy.self),
        Sized("IOMMU_IOAS_UNMAP", CIOMMU_IOAS_UNMAP, ciommu_ioas_unmap.self),
        Sized("IOMMU_OPTION", CIOMMU_OPTION, ciommu_option.self),
        Sized("IOMMU_VFIO_IOAS", CIOMMU_VFIO_IOAS, ciommu_vfio_ioas.self),
        Sized("IOMMU_IOAS_MAP_FILE", CIOMMU_IOAS_MAP_FILE, ciommu_ioas_map_file.self),
        Sized("IOMMU_VIOMMU_ALLOC", CIOMMU_VIOMMU_ALLOC, ciommu_viommu_alloc.self, shortest: 24),
        Sized("IOMMU_VDEVICE_ALLOC", CIOMMU_VDEVICE_ALLOC, ciommu_vdevice_alloc.self),
        Sized("IOMMU_IOAS_CHANGE_PROCESS", CIOMMU_IOAS_CHANGE_PROCESS, ciommu_ioas_change_process.self),
        Sized("IOMMU_FAULT_QUEUE_ALLOC", CIOMMU_FAULT_QUEUE_ALLOC, ciommu_fault_alloc.self),
        Sized("IOMMU_HWPT_SET_DIRTY_TRACKING", CIOMMU_HWPT_SET_DIRTY_TRACKING, ciommu_hwpt_set_dirty_tracking.self),
        Sized("IOMMU_HWPT_GET_DIRTY_BITMAP", CIOMMU_HWPT_GET_DIRTY_BITMAP, ciommu_hwpt_get_dirty_bitmap.self),
        Sized("IOMMU_VEVENTQ_ALLOC", CIOMMU_VEVENTQ_ALLOC, ciommu_veventq_alloc.self, shortest: 28),
        Sized("IOMMU_HW_QUEUE_ALLOC", CIOMMU_HW_QUEUE_ALLOC, ciommu_hw_queue_alloc.self),
    ]

    @Test(
        "one byte too few is EINVAL, a tail that is not zero E2BIG, and a tail of zeros as good as none [iommufd.cmd_length]",
        arguments: Scenario.all)
    func iommufd(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard bench.offer.hasIOMMUFD else {
            expectErrno(.noSuchFileOrDirectory) { Int(try bench.kernel.open("/dev/iommu", .readWrite).rawValue) }
            return
        }
        for sized in Self.requests {
            // One of its own for each, since some of them succeed.
            func answer(size: Int, tail: UInt8 = 0) throws(Errno) -> Errno? {
                let kernel = bench.kernel
                let descriptor = try kernel.open("/dev/iommu", .readWrite)
                defer { try? kernel.close(descriptor) }
                let buffer = RequestBuffer(byteCount: max(size, sized.longest) + 8)
                buffer.store(UInt32(size), at: 0)
                if size > sized.longest { buffer.store(tail, at: sized.longest) }
                do throws(Errno) {
                    _ = try kernel.control(descriptor, sized.request, with: buffer)
                    if sized.request == CIOMMU_FAULT_QUEUE_ALLOC, let queue = buffer.load(Int32.self, at: 12) {
                        try kernel.close(FileDescriptor(rawValue: queue))
                    }
                    return nil
                } catch { return error }
            }
            #expect(try answer(size: sized.shortest - 1) == .invalidArgument, "\(sized.name)")
            #expect(try answer(size: sized.longest + 1, tail: 1) == .argListTooLong, "\(sized.name)")
            #expect(try answer(size: sized.longest + 1) == (try answer(size: sized.longest)), "\(sized.name)")
        }
    }

    /// A request of VFIO itself, and the shortest length that the kernel takes.
    private struct Short {
        let name: String
        let request: UInt
        let shortest: Int
        var setUp: [(Int, UInt32)] = []
    }

    /// Makes a request with a length of one byte too few.
    private func expectTooShort(_ short: Short, _ kernel: any Kernel, _ descriptor: FileDescriptor) {
        let buffer = RequestBuffer(byteCount: 128)
        buffer.store(UInt32(short.shortest - 1), at: 0)
        for (offset, word) in short.setUp { buffer.store(word, at: offset) }
        expectErrno(.invalidArgument, "\(short.name)") { try kernel.control(descriptor, short.request, with: buffer) }
    }

    @Test("one byte too few is EINVAL to devices", arguments: Scenario.all)
    func device(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.busEdu, in: try bench.makeSpace())
        let probe = CVFIO_DEVICE_FEATURE_PROBE | CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
        for short in [
            Short(name: "VFIO_DEVICE_GET_INFO", request: CVFIO_DEVICE_GET_INFO, shortest: 16),
            Short(name: "VFIO_DEVICE_GET_REGION_INFO", request: CVFIO_DEVICE_GET_REGION_INFO, shortest: 32),
            Short(name: "VFIO_DEVICE_GET_IRQ_INFO", request: CVFIO_DEVICE_GET_IRQ_INFO, shortest: 16),
            Short(name: "VFIO_DEVICE_SET_IRQS", request: CVFIO_DEVICE_SET_IRQS, shortest: 20),
            Short(
                name: "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", request: CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
                shortest: 12),
            Short(name: "VFIO_DEVICE_PCI_HOT_RESET", request: CVFIO_DEVICE_PCI_HOT_RESET, shortest: 12),
            Short(name: "VFIO_DEVICE_IOEVENTFD", request: CVFIO_DEVICE_IOEVENTFD, shortest: 28),
            Short(name: "VFIO_DEVICE_FEATURE", request: CVFIO_DEVICE_FEATURE, shortest: 8, setUp: [(4, probe)]),
        ] { expectTooShort(short, bench.kernel, device.core.descriptor) }
        if scenario.usesIOMMUFD {
            for short in [
                Short(
                    name: "VFIO_DEVICE_ATTACH_IOMMUFD_PT", request: CVFIO_DEVICE_ATTACH_IOMMUFD_PT,
                    shortest: 12),
                Short(
                    name: "VFIO_DEVICE_DETACH_IOMMUFD_PT", request: CVFIO_DEVICE_DETACH_IOMMUFD_PT,
                    shortest: 8),
            ] { expectTooShort(short, bench.kernel, device.core.descriptor) }
        }
        try device.close()
    }

    @Test("one byte too few is EINVAL to groups and containers", arguments: Scenario.all)
    func container(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let container = try RawContainer(bench.kernel, device: bench.edu)
        expectTooShort(
            Short(name: "VFIO_GROUP_GET_STATUS", request: CVFIO_GROUP_GET_STATUS, shortest: 8), bench.kernel,
            container.group)
        for short in [
            Short(name: "VFIO_IOMMU_GET_INFO", request: CVFIO_IOMMU_GET_INFO, shortest: 16),
            Short(name: "VFIO_IOMMU_MAP_DMA", request: CVFIO_IOMMU_MAP_DMA, shortest: 32),
            Short(name: "VFIO_IOMMU_UNMAP_DMA", request: CVFIO_IOMMU_UNMAP_DMA, shortest: 24),
            Short(
                name: "VFIO_IOMMU_UNMAP_DMA with a bitmap", request: CVFIO_IOMMU_UNMAP_DMA, shortest: 48,
                setUp: [(4, CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)]),
            Short(
                name: "VFIO_IOMMU_DIRTY_PAGES", request: CVFIO_IOMMU_DIRTY_PAGES, shortest: 8,
                setUp: [(4, CVFIO_IOMMU_DIRTY_PAGES_FLAG_START)]),
            Short(
                name: "VFIO_IOMMU_DIRTY_PAGES with a bitmap", request: CVFIO_IOMMU_DIRTY_PAGES, shortest: 48,
                setUp: [(4, CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)]),
        ] { expectTooShort(short, bench.kernel, container.container) }
        try container.close()
    }

    @Test(
        "addresses that are not the process's are EFAULT, and requests unknown ENOTTY [iommufd.cmd_fail, iommufd.cmd_ex_fail]",
        arguments: Scenario.all)
    func bad(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let kernel = bench.kernel
        let device = try Device(at: bench.edu, in: try bench.makeSpace())
        expectErrno(.badAddress) { try kernel.control(device.core.descriptor, CVFIO_DEVICE_GET_INFO, value: 0) }
        expectErrno(.inappropriateIOCTLForDevice) {
            try kernel.control(device.core.descriptor, CVFIO_DEVICE_GET_INFO + 60, value: 0)
        }
        try device.close()
        guard bench.offer.hasIOMMUFD else { return }
        let iommufd = try RawIOMMUFD(kernel)
        // No such object.
        var destroy = ciommu_destroy(size: 8, id: 99)
        expectErrno(.noSuchFileOrDirectory) { try kernel.control(iommufd.descriptor, CIOMMU_DESTROY, with: &destroy) }
        expectErrno(.badAddress) { try kernel.control(iommufd.descriptor, CIOMMU_DESTROY, value: 0) }
        try iommufd.close()
    }
}
