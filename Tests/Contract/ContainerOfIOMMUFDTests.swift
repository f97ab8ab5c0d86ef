@testable import VFIO

/// An iommufd in the place of a container: the requests of type1, on one of its address spaces.
extension Contract.ContainerOfIOMMUFDTests {
    @Test(
        "which address space a container's requests act on [iommufd.vfio_ioas, iommufd.simple_ioctls]",
        arguments: Scenario.all)
    func space(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        guard scenario.usesIOMMUFD else {
            #expect(try space.isVFIOCompatIOAS())
            expectRefusal(.unsupported) { try space.setVFIOCompatIOAS() }
            expectRefusal(.unsupported) { try space.clearVFIOCompatIOAS() }
            expectRefusal(.unsupported) { _ = try space.duplicateIOMMUFD() }
            return
        }
        let other = try space.makeSibling()
        #expect(try space.isVFIOCompatIOAS() == false)
        try space.setVFIOCompatIOAS()
        #expect(try space.isVFIOCompatIOAS())
        #expect(try other.isVFIOCompatIOAS() == false)
        expectRefusal(.invalidArgument) { try other.clearVFIOCompatIOAS() }
        try other.setVFIOCompatIOAS()
        #expect(try space.isVFIOCompatIOAS() == false)
        try other.clearVFIOCompatIOAS()
        #expect(try other.isVFIOCompatIOAS() == false)
        let raw = try space.duplicateIOMMUFD()
        #expect(try bench.kernel.control(raw, CVFIO_GET_API_VERSION, value: 0) == 0)
        #expect(try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_TYPE1_IOMMU) == 1)
        #expect(try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_TYPE1v2_IOMMU) == 1)
        #expect(try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_UNMAP_ALL) == 1)
        #expect(try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_UPDATE_VADDR) == 0)
        #expect(try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_NOIOMMU_IOMMU) == 1)
        expectErrno(.operationNotSupportedByDevice, "no address space to ask about coherency") {
            try bench.kernel.control(raw, CVFIO_CHECK_EXTENSION, value: CVFIO_DMA_CC_IOMMU)
        }
        try bench.kernel.close(raw)
    }

    @Test(
        "type1's requests on it, and their refusals [iommufd.set_iommu_cmd, iommufd.info_cmd, iommufd.map_cmd, iommufd.unmap_cmd, vfio_compat_mock_domain.simple_close, vfio_compat_mock_domain.map]",
        arguments: Scenario.all)
    func requests(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let space = try bench.makeSpace()
        let raw = RawIOMMUFDContainer(bench.kernel, try space.duplicateIOMMUFD())
        let memory = try Memory(bench.kernel, pageCount: 4)
        expectErrno(.operationNotSupportedByDevice, "no address space") { try raw.choose(CVFIO_TYPE1v2_IOMMU) }
        expectErrno(.operationNotSupportedByDevice) { try raw.choose(CVFIO_TYPE1_IOMMU) }
        expectErrno(.operationNotSupportedByDevice) { try raw.map(memory.address, 4096, at: 0x10_0000) }
        expectErrno(.operationNotSupportedByDevice) { Int(try raw.unmap(0, 4096)) }
        expectErrno(.operationNotSupportedByDevice) { Int(try raw.info().argsz) }
        // What is wrong in itself is refused before that.
        expectErrno(.invalidArgument) { try raw.map(memory.address, 4096, at: 0x10_0000, size: 1) }
        expectErrno(.invalidArgument) { try raw.map(memory.address, 4096, at: 0x10_0000, flags: 1 << 31) }
        expectErrno(.invalidArgument) { Int(try raw.unmap(0x10_0000, 4096, size: 1)) }
        expectErrno(.invalidArgument) { Int(try raw.unmap(0x10_0000, 4096, flags: 1 << 31)) }
        expectErrno(.invalidArgument) { Int(try raw.info(size: 1).argsz) }
        try space.setVFIOCompatIOAS()
        expectErrno(.invalidArgument, "no such kind") { try raw.choose(99) }
        expectErrno(.invalidArgument, "its devices have an IOMMU") { try raw.choose(CVFIO_NOIOMMU_IOMMU) }
        #expect(try raw.choose(CVFIO_TYPE1v2_IOMMU) == 0)
        #expect(try raw.choose(CVFIO_TYPE1v2_IOMMU) == 0, "as often as one likes")
        #expect(try raw.info().flags == CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS)
        expectErrno(.invalidArgument, "too short") { Int(try raw.info(size: 15).argsz) }
        #expect(throws: Errno.inappropriateIOCTLForDevice, "dirty pages") {
            try ABI.trackDirtyPages(true).send(to: raw.container, of: bench.kernel)
        }
        expectErrno(.invalidArgument, "too short") { try raw.map(memory.address, 4096, at: 0, size: 31) }
        expectErrno(.invalidArgument, "a flag") { try raw.map(memory.address, 4096, at: 0, flags: 7) }
        expectErrno(.invalidArgument, "no bytes") { try raw.map(memory.address, 0, at: 0) }
        #expect(try raw.map(memory.address, 8192, at: 0x10_0000) == 0)
        #expect(try raw.map(memory.address, 4096, at: 0) == 0)
        expectErrno(.fileExists) { try raw.map(memory.address, 4096, at: 0x10_1000) }
        expectErrno(.noSuchFileOrDirectory, "half of it") { Int(try raw.unmap(0x10_0000, 4096)) }
        expectErrno(.invalidArgument, "no bytes") { Int(try raw.unmap(0x10_0000, 0)) }
        expectErrno(.invalidArgument, "a flag") {
            Int(try raw.unmap(0x10_0000, 8192, flags: CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
        }
        // What was unmapped before the failure is in the request.
        #expect(raw.refusedUnmap(0x10_0000, 4096) == (.noSuchFileOrDirectory, 0))
        #expect(raw.refusedUnmap(0x10_0000, 0) == (.invalidArgument, 0))
        #expect(raw.refusedUnmap(0x10_0000, .max) == (.overflow, 0))
        #expect(raw.refusedUnmap(4096, 4096, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == (.invalidArgument, 4096))
        #expect(try raw.map(memory.address, 4096, at: 0x8_0000) == 0)
        #expect(raw.refusedUnmap(0x8_0000, 0x8_1000) == (.noSuchFileOrDirectory, 4096), "and half of another")
        #expect(try raw.unmap(0x20_0000, 4096) == 0, "nothing is an answer")
        expectErrno(.invalidArgument, "everything, from an address") {
            Int(try raw.unmap(4096, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL))
        }
        #expect(try raw.unmap(0, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == 12288)
        // Version 1 may unmap the middle of a mapping.
        #expect(try raw.choose(CVFIO_TYPE1_IOMMU) == 0)
        #expect(try space.usesLargePages() == false)
        #expect(try raw.map(memory.address, 16384, at: 0x10_0000) == 0)
        #expect(try raw.unmap(0x10_1000, 8192) == 8192)
        #expect(try raw.unmap(0x10_0000, 4096) == 4096)
        #expect(try raw.unmap(0, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == 4096)
        try closeAll(raw, memory)
    }

    @Test(
        "version 1 of type1 cuts mappings, version 2 does not [vfio_compat_mock_domain.map, vfio_compat_mock_domain.huge_map, vfio_compat_mock_domain.option_huge_pages]",
        arguments: Scenario.all)
    func cut(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        for version in [CVFIO_TYPE1v2_IOMMU, CVFIO_TYPE1_IOMMU] {
            let cuts = version == CVFIO_TYPE1_IOMMU
            let space = try bench.makeSpace()
            let device = try Device(at: bench.edu, in: space)
            // Memory of another address space, to be mapped in this one by type1.
            let memory = try space.makeSibling().allocate(byteCount: 4 << 20, pages: .huge2MiB)
            let address = UInt64(UInt(bitPattern: memory.unsafeBaseAddress))
            try space.setVFIOCompatIOAS()
            let raw = RawIOMMUFDContainer(bench.kernel, try space.duplicateIOMMUFD())
            #expect(try raw.choose(version) == 0)
            #expect(try space.usesLargePages() == !cuts)
            // Sixteen pages, which are unmapped in another order.
            let start: UInt64 = 0x4000_0000
            for page in 0..<UInt64(16) {
                #expect(try raw.map(address + page * 4096, 4096, at: start + page * 4096) == 0)
            }
            for page in 0..<UInt64(16) { #expect(try raw.unmap(start + page * 5 % 16 * 4096, 4096) == 4096) }
            // Two huge pages, in sixteen parts.
            let part: UInt64 = 256 << 10
            #expect(try raw.map(address, part * 16, at: start) == 0)
            for index in 0..<UInt64(16) {
                let iova = start + index * 5 % 16 * part
                if cuts {
                    #expect(try raw.unmap(iova, part) == part)
                } else {
                    expectErrno(.noSuchFileOrDirectory) { Int(try raw.unmap(iova, part)) }
                }
            }
            #expect(try raw.unmap(0, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == (cuts ? 0 : part * 16))
            try closeAll(raw, memory, device)
        }
    }

    @Test(
        "what its properties take, and nothing past the room for them [vfio_compat_mock_domain.get_info]",
        arguments: Scenario.all)
    func info(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let space = try bench.makeSpace()
        let device = try Device(at: bench.edu, in: space)
        try space.setVFIOCompatIOAS()
        let raw = try space.duplicateIOMMUFD()
        /// How much there is to tell, and where the capabilities begin.
        func ask(_ room: Int) throws -> (byteCount: UInt32?, capabilities: UInt32?) {
            let answer = RequestBuffer([UInt8](repeating: 0xaa, count: 1024))
            answer.store(UInt32(room), at: 0)
            _ = try bench.kernel.control(raw, CVFIO_IOMMU_GET_INFO, with: answer)
            let flags = answer.load(UInt32.self, at: 4)
            #expect(flags == CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS)
            let pageSizes = answer.load(UInt64.self, at: 8)
            #expect(pageSizes != 0)
            let rest = answer.content[room...]
            #expect(rest.allSatisfy { $0 == 0xaa }, "\(room)")
            return (answer.load(at: 0), answer.load(at: 16))
        }
        let byteCount = try #require(try ask(24).byteCount)
        #expect((25..<1024).contains(byteCount))
        for room in 16..<Int(min(byteCount, 1023)) {
            let (told, capabilities) = try ask(room)
            #expect(told == byteCount)
            if room >= 20 { #expect(capabilities == 0) }
        }
        #expect(try ask(Int(min(byteCount, 1023))).capabilities == 24)
        try bench.kernel.close(raw)
        try device.close()
    }

    @Test("part of a program maps by type1 what a device of the library's reads", arguments: Scenario.all)
    func shared(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        try space.setVFIOCompatIOAS()
        let raw = RawIOMMUFDContainer(bench.kernel, try space.duplicateIOMMUFD())
        let memory = try Memory(bench.kernel, pageCount: 1)
        memory.bytes.storeBytes(of: 0x0bad_cafe, as: UInt32.self)
        #expect(try raw.map(memory.address, 4096, at: 0x7000_0000) == 0)
        let landing = try space.allocate(byteCount: 4096)
        #expect(try edu.bytes(4, at: 0x7000_0000, by: landing) == [0xfe, 0xca, 0xad, 0x0b])
        // A group that takes the iommufd as its container brings its device into the same address space.
        let group = try bench.kernel.open(try bench.groupNode(of: bench.memory), .readWrite)
        var number = raw.container.rawValue
        #expect(try bench.kernel.control(group, CVFIO_GROUP_SET_CONTAINER, with: &number) == 0)
        expectErrno(.invalidArgument, "twice") {
            var number = raw.container.rawValue
            return try bench.kernel.control(group, CVFIO_GROUP_SET_CONTAINER, with: &number)
        }
        let device = try ABI.getGroupDevice("\(bench.memory)").send(to: group, of: bench.kernel)
        let info = cvfio_device_info(argsz: 24, flags: 0, num_regions: 0, num_irqs: 0, cap_offset: 0, pad: 0)
        #expect(try bench.kernel.control(device, CVFIO_DEVICE_GET_INFO, of: info) == 0)
        try bench.kernel.close(device)
        #expect(try bench.kernel.control(group, CVFIO_GROUP_UNSET_CONTAINER, value: 0) == 0)
        expectErrno(.invalidArgument, "none any more") {
            try bench.kernel.control(group, CVFIO_GROUP_UNSET_CONTAINER, value: 0)
        }
        try bench.kernel.close(group)
        #expect(try raw.unmap(0x7000_0000, 4096) == 4096)
        try closeAll(landing, edu, raw, memory)
    }

    /// Where iommufd provides `/dev/vfio/vfio` (CONFIG_IOMMUFD_VFIO_CONTAINER), the node is one of an iommufd. So a
    /// kernel whose `/dev/vfio/vfio` is its `/dev/iommu` is such a one.
    @Test(
        "the library's type1 works on it [vfio_compat_mock_domain.get_info]",
        arguments: Scenario.all)
    func library(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else { return }
        let kernel = Ledger(bench.machine.kernel, aliases: ["/dev/vfio/vfio": "/dev/iommu"])
        try useType1(bench, kernel)
        try useNoIOMMU(bench, kernel)
        kernel.expectBalance(#_sourceLocation)
    }

    private func useType1(_ bench: borrowing Bench, _ kernel: Ledger) throws {
        let space = try AddressSpace(.type1, kernel: kernel)
        #expect(try space.supports(.type1v2))
        #expect(try space.supports(.updateVaddr) == false)
        let edu = try EduDriver(at: bench.edu, in: space)
        let nvme = try Device(at: bench.nvme, in: space)
        let info = try space.type1Info()
        #expect(info.pageSizes.first == 4096)
        #expect(info.availableMappings == Int(UInt32.max))
        #expect(info.dirtyTracking == nil)
        #expect(try space.iovaRanges().last?.upperBound == IOVA(0x7f_ffff_ffff))
        expectRefusal(.unsupported) { _ = try space.startDirtyTracking() }
        let buffer = try space.allocate(byteCount: 4096)
        let huge = try space.allocate(byteCount: 2 << 20, pages: .huge2MiB)
        huge.fill([7, 7, 7], at: 1 << 20)
        #expect(try edu.bytes(3, at: huge.iova + (1 << 20), by: buffer) == [7, 7, 7])
        let taken = huge.iova
        expectRefusal(.alreadyMapped, .fileExists) { _ = try space.allocate(byteCount: 4096, placement: .fixed(taken)) }
        try closeAll(huge, nvme, edu)
        // The mapping outlives the devices, as in a container.
        let again = try EduDriver(at: bench.edu, in: space)
        buffer.fill([1, 2])
        try again.load(2, from: buffer.iova)
        try closeAll(again, buffer)
    }

    private func useNoIOMMU(_ bench: borrowing Bench, _ kernel: Ledger) throws {
        guard bench.offer.hasUnsafeNoIOMMUMode else { return }
        let space = try NoIOMMUAddressSpace(.type1, kernel: kernel)
        let edu = try EduDriver(at: bench.noIOMMUEdu, in: space)
        #expect(try edu.identification() == 0x0100_00ed)
        try edu.close()
    }
}
