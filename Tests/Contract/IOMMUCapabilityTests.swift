@testable import VFIO

extension Offer {
    /// Containers can be told to nest (taken out of Linux after 6.12).
    var hasContainerNesting: Bool { name == "6.1" || name == "6.12" }
}

/// What an address space's interface says that it can do.
extension Contract.IOMMUCapabilityTests {
    @Test("the extensions of a container (VFIO_CHECK_EXTENSION 1 to 10)", arguments: Scenario.all)
    func extensions(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        guard !scenario.usesIOMMUFD else {
            for number: UInt32 in 0...11 { #expect(try space.supports(Type1Extension(rawValue: number)) == false) }
            return
        }
        func offered() throws -> [UInt32] {
            try (0...12).filter { try space.supports(Type1Extension(rawValue: $0)) }
        }
        let nesting: [UInt32] = bench.offer.hasContainerNesting ? [6] : []
        #expect(try offered() == [1, 3] + nesting + (bench.offer.hasUnsafeNoIOMMUMode ? [8] : []) + [9])
        let device = try Device(at: bench.edu, in: space)
        // Whether addresses can be updated depends on the devices.
        #expect(try offered() == [1, 3] + nesting + [9, 10])
        #expect(try space.supports(.type1v2))
        #expect(try space.supports(.unmapAll))
        #expect(try space.supports(.updateVaddr))
        #expect(try space.supports(.noIOMMU) == false)
        try device.close()
        #expect(try space.supports(.updateVaddr) == false)
    }

    @Test("a container's properties and its capabilities (VFIO_IOMMU_GET_INFO)", arguments: Scenario.all)
    func properties(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        guard !scenario.usesIOMMUFD else {
            expectRefusal(.unsupported) { _ = try space.type1Info() }
            return
        }
        expectRefusal(.noDevice) { _ = try space.type1Info() }
        let device = try Device(at: bench.edu, in: space)
        let info = try space.type1Info()
        #expect(info.pageSizes.first == 4096)
        #expect(info.iovaRanges == (try space.iovaRanges()))
        #expect(info.dirtyTracking?.pageSizes == [4096])
        #expect(info.dirtyTracking?.largestBitmapByteCount == 1 << 28)
        let available = try #require(info.availableMappings)
        #expect(available == 65535)
        let one = try space.allocate(byteCount: 4096)
        let two = try space.allocate(byteCount: 1 << 20)
        #expect(try space.type1Info().availableMappings == available - 2)
        try one.close()
        #expect(try space.type1Info().availableMappings == available - 1)
        try closeAll(two, device)
    }

    @Test("what an iommufd knows", arguments: Scenario.all)
    func requests(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        for feature in IOMMUFDFeature.allCases {
            #expect(try space.supports(feature) == scenario.usesIOMMUFD, "\(feature)")
        }
    }

    @Test("devices of several groups share a container, and see the same memory", arguments: Scenario.all)
    func severalGroups(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let buffer = try space.allocate(byteCount: 4096)
        let memory = try Device(at: bench.memory, in: space)
        let nvme = try Device(at: bench.nvme, in: space)
        #expect(try space.iovaRanges().isEmpty == false)
        buffer.fill([3, 1, 4, 1])
        let landing = try space.allocate(byteCount: 4096)
        try edu.expect([3, 1, 4, 1], at: buffer.iova, by: landing)
        // One device of an address space less is nothing to the others.
        try closeAll(nvme, memory)
        try edu.expect([3, 1, 4, 1], at: buffer.iova, by: landing)
        try edu.close()
        let next = try EduDriver(at: bench.edu, in: space)
        try next.expect([3, 1, 4, 1], at: buffer.iova, by: landing)
        try closeAll(next, landing, buffer)
    }

    @Test("the last mapping of an address space without devices lets the group go", arguments: Scenario.all)
    func lastMapping(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.nvme, in: space)
        let one = try space.allocate(byteCount: 4096)
        let two = try space.allocate(byteCount: 4096)
        try closeAll(device, one)
        let other = try bench.makeSpace()
        if scenario.usesIOMMUFD {
            try Device(at: bench.nvme, in: other).close()
        } else {
            // The group holds the IOMMU, and with it what is mapped.
            expectRefusal(.busy, .resourceBusy) { _ = try Device(at: bench.nvme, in: other) }
        }
        try two.close()
        try Device(at: bench.nvme, in: other).close()
        withExtendedLifetime(space) {}
    }

    @Test("a device without virtual functions takes no token", arguments: Scenario.all)
    func token(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let token = try #require(VFToken("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"))
        for address in [bench.edu, bench.memory, bench.nvme] {
            expectRefusal(.invalidArgument, .invalidArgument) { _ = try Device(at: address, in: space, token: token) }
            let device = try Device(at: address, in: space)
            try device.close()
        }
        guard !scenario.usesIOMMUFD else { return }
        let container = try RawContainer(bench.kernel, device: bench.edu)
        for option in ["vf_token=bd8d9d2b", "vf_token=\(token) vf_token=\(token)", "nonsense"] {
            expectErrno(.invalidArgument, "\(option)") {
                try bench.kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(bench.edu) \(option)")
            }
        }
        expectErrno(.operationNotSupportedByDevice, "another name") {
            try bench.kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(bench.edu)x")
        }
        try container.close()
    }

    @Test("everything is unmapped by one request", arguments: Scenario.all)
    func unmapAll(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let memory = try Memory(bench.kernel, pageCount: 4)
        let address = memory.address
        if scenario.usesIOMMUFD {
            let iommufd = try RawIOMMUFD(bench.kernel)
            #expect(try iommufd.map(address, 8192, at: 0x10_0000) == 0)
            #expect(try iommufd.map(address, 4096, at: 0) == 0)
            expectErrno(.overflow, "all but the last address") { Int(try iommufd.unmap(1, .max)) }
            #expect(try iommufd.unmap(0, .max) == 12288)
            #expect(try iommufd.unmap(0, .max) == 0)
            try iommufd.close()
        } else {
            let container = try RawContainer(bench.kernel, device: bench.edu)
            let all = CVFIO_DMA_UNMAP_FLAG_ALL
            #expect(try container.map(address, 8192, at: 0x10_0000) == 0)
            #expect(try container.map(address, 4096, at: 0) == 0)
            expectErrno(.invalidArgument, "an address") { Int(try container.unmap(4096, 0, flags: all)) }
            expectErrno(.invalidArgument, "a size") { Int(try container.unmap(0, 4096, flags: all)) }
            expectErrno(.invalidArgument, "with a bitmap") {
                Int(try container.unmap(0, 0, flags: all | CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
            }
            #expect(try container.unmap(0, 0, flags: all) == 12288)
            #expect(try container.unmap(0, 0, flags: all) == 0)
            try container.close()
        }
        try memory.close()
    }
}
