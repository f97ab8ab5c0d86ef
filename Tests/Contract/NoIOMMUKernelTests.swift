@testable import VFIO

/// What the kernel answers about devices that no IOMMU serves, asked without the library in between.
extension Contract.NoIOMMUKernelTests {
    @Test(
        "groups with and without an IOMMU do not mix, nor do their containers [vfio-noiommu-pci-device-open]",
        arguments: Scenario.all)
    func containers(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard bench.offer.hasUnsafeNoIOMMUMode, !scenario.usesIOMMUFD else {
            #expect(throws: Errno.noSuchFileOrDirectory) { try bench.kernel.open("/dev/vfio/noiommu-99", .readWrite) }
            return
        }
        let kernel = bench.kernel
        let container = try kernel.open("/dev/vfio/vfio", .readWrite)
        let group = try kernel.open(try bench.groupNode(of: bench.noIOMMUEdu, "noiommu-"), .readWrite)
        let edu = try kernel.open(try bench.groupNode(of: bench.edu), .readWrite)
        func has(_ number: UInt) throws -> Bool {
            try kernel.control(container, CVFIO_CHECK_EXTENSION, value: number) > 0
        }
        func join(_ group: FileDescriptor) throws -> Int {
            var descriptor = container.rawValue
            return try kernel.control(group, CVFIO_GROUP_SET_CONTAINER, with: &descriptor)
        }
        func open(_ device: PCIAddress, _ group: FileDescriptor) throws -> Int {
            try kernel.control(group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(device)")
        }
        #expect(try has(CVFIO_NOIOMMU_IOMMU) && has(CVFIO_TYPE1v2_IOMMU), "an empty one can become either")
        #expect(throws: Errno.noSuchFileOrDirectory, "the plain node is not there") {
            try kernel.open(try bench.groupNode(of: bench.noIOMMUEdu), .readWrite)
        }
        // A group without an IOMMU.
        #expect(try join(group) == 0)
        #expect(try has(CVFIO_NOIOMMU_IOMMU))
        #expect(try has(CVFIO_TYPE1v2_IOMMU) == false)
        expectErrno(.notPermitted, "a group with an IOMMU beside it") { try join(edu) }
        expectErrno(.invalidArgument, "a device before SET_IOMMU") { try open(bench.noIOMMUEdu, group) }
        expectErrno(.operationNotSupportedByDevice, "type1") {
            try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU)
        }
        #expect(try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_NOIOMMU_IOMMU) == 0)
        expectErrno(.invalidArgument, "once more") {
            try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_NOIOMMU_IOMMU)
        }
        #expect(try has(CVFIO_NOIOMMU_IOMMU))
        #expect(try has(CVFIO_UNMAP_ALL) == false)
        var info = cvfio_iommu_type1_info()
        info.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_info>.size)
        kernel.expectErrno(.inappropriateIOCTLForDevice, "properties", container, CVFIO_IOMMU_GET_INFO, &info)
        var map = cvfio_iommu_type1_dma_map()
        map.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dma_map>.size)
        kernel.expectErrno(.inappropriateIOCTLForDevice, "a mapping", container, CVFIO_IOMMU_MAP_DMA, &map)
        let device = FileDescriptor(rawValue: Int32(try open(bench.noIOMMUEdu, group)))
        expectErrno(.resourceBusy, "a group in use") {
            try kernel.control(group, CVFIO_GROUP_UNSET_CONTAINER, value: 0)
        }
        try kernel.close(device)
        #expect(try kernel.control(group, CVFIO_GROUP_UNSET_CONTAINER, value: 0) == 0)
        // A group with an IOMMU, in the same container.
        #expect(try join(edu) == 0)
        #expect(try has(CVFIO_NOIOMMU_IOMMU) == false)
        expectErrno(.notPermitted, "a group without an IOMMU beside it") { try join(group) }
        expectErrno(.operationNotSupportedByDevice, "no IOMMU") {
            try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_NOIOMMU_IOMMU)
        }
        #expect(try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU) == 0)
        try kernel.close(edu)
        try kernel.close(group)
        try kernel.close(container)
    }

    @Test("who asks for physical addresses, and when (IOMMU_IOAS_NOIOMMU_GET_PA)", arguments: Scenario.all)
    func physicalAddresses(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let iommufd = try RawIOMMUFD(bench.kernel)
        let memory = try Memory(bench.kernel, pageCount: 2)
        #expect(try iommufd.map(memory.address, 8192, at: 0x10_0000) == 0)
        func ask(
            _ iova: UInt64, _ length: UInt64 = 4096, flags: UInt32 = 0, reserved: UInt32 = 0,
            ioas: UInt32? = nil, size: Int = MemoryLayout<ciommu_ioas_noiommu_get_pa>.size
        ) throws(Errno) -> Int {
            var request = ciommu_ioas_noiommu_get_pa(
                size: UInt32(size), flags: flags, ioas_id: ioas ?? iommufd.ioas, __reserved: reserved, iova: iova,
                length: length, out_phys: 0)
            _ = try bench.kernel.control(iommufd.descriptor, CIOMMU_IOAS_NOIOMMU_GET_PA, with: &request)
            return Int(request.length)
        }
        expectErrno(.invalidArgument, "too short") { try ask(0x10_0000, size: 39) }
        expectErrno(.notSupported, "flags, before the rest") { try ask(0x10_0000, 0, flags: 1, ioas: 99) }
        expectErrno(.notSupported, "what is reserved") { try ask(0x10_0000, 0, reserved: 1) }
        expectErrno(.invalidArgument, "no bytes") { try ask(.max, 0, ioas: 99) }
        expectErrno(.overflow, "the last address") { try ask(.max, ioas: 99) }
        expectErrno(.noSuchFileOrDirectory, "no such address space") { try ask(0x10_0000, ioas: 99) }
        expectErrno(.noSuchFileOrDirectory, "nothing is mapped") { try ask(0x20_0000) }
        expectErrno(.notSupported, "no device") { try ask(0x10_0000) }
        // A device behind an IOMMU does not do.
        let edu = try bench.kernel.open(try bench.deviceNode(of: bench.edu), .readWrite)
        #expect(try iommufd.bind(edu) == 0)
        #expect(try iommufd.attach(edu) == 0)
        expectErrno(.notSupported, "a device behind an IOMMU") { try ask(0x10_0000) }
        // Nor does one without, where a page table is already: it takes that one.
        let bare = try bench.kernel.open(try bench.deviceNode(of: bench.noIOMMUEdu), .readWrite)
        #expect(try iommufd.bind(bare) == 0)
        #expect(try iommufd.attach(bare) == 0)
        expectErrno(.notSupported, "the IOMMU's page table") { try ask(0x10_0000) }
        try bench.kernel.close(bare)
        try bench.kernel.close(edu)
        // Alone it does.
        let again = try bench.kernel.open(try bench.deviceNode(of: bench.noIOMMUEdu), .readWrite)
        #expect(try iommufd.bind(again) == 0)
        #expect(try iommufd.attach(again) == 0)
        #expect(try ask(0x10_0000, 1) == 1)
        #expect(try ask(0x10_0fff, 1 << 40) > 0)
        #expect(try ask(0x10_1fff, 1 << 40) == 1)
        expectErrno(.noSuchFileOrDirectory, "beyond it") { try ask(0x10_2000) }
        #expect(try iommufd.unmap(0x10_0000, 8192) == 8192)
        expectErrno(.noSuchFileOrDirectory, "not any more") { try ask(0x10_0000) }
        try bench.kernel.close(again)
        try closeAll(memory, iommufd)
    }

    @Test("its address space has no reserved ranges, and all 64 bits", arguments: Scenario.all)
    func ranges(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let space = try bench.makeNoIOMMUSpace()
        let device = try Device(at: bench.noIOMMUEdu, in: space)
        #expect(try space.space.iovaRanges() == [IOVA(0)...IOVA(.max)])
        #expect(try space.space.mappingAlignment() == 4096)
        try device.close()
    }
}
