import Glibc

@testable import VFIO

/// Mappings in the patterns of the kernel's selftests and of its maintainer's tests, without the library in between.
extension Contract.MappingCaseTests {
    /// A container or an iommufd with a device, as far as mapping goes.
    private struct Target: Closable {
        let container: RawContainer?
        let iommufd: RawIOMMUFD?
        let device: FileDescriptor?
        let kernel: any Kernel

        init(_ bench: borrowing Bench) throws {
            kernel = bench.kernel
            if bench.scenario.usesIOMMUFD {
                let device = try bench.kernel.open(bench.deviceNode(of: bench.edu), .readWrite)
                let iommufd = try RawIOMMUFD(bench.kernel)
                #expect(try iommufd.bind(device) == 0)
                #expect(try iommufd.attach(device) == 0)
                self.iommufd = iommufd
                self.device = device
                container = nil
            } else {
                container = try RawContainer(bench.kernel, device: bench.edu)
                iommufd = nil
                device = nil
            }
        }

        func map(_ address: UInt64, _ byteCount: UInt64, at iova: UInt64) throws(Errno) -> Int {
            if let container { return try container.map(address, byteCount, at: iova) }
            return try iommufd!.map(address, byteCount, at: iova)
        }

        func unmap(_ iova: UInt64, _ byteCount: UInt64) throws(Errno) -> UInt64 {
            if let container { return try container.unmap(iova, byteCount) }
            return try iommufd!.unmap(iova, byteCount)
        }

        /// Nothing there: no bytes to a container, an error to an iommufd.
        func expectNothing(
            at iova: UInt64, _ byteCount: UInt64, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            if let container {
                #expect(try container.unmap(iova, byteCount) == 0, sourceLocation: sourceLocation)
            } else {
                expectErrno(.noSuchFileOrDirectory, sourceLocation: sourceLocation) {
                    Int(try iommufd!.unmap(iova, byteCount))
                }
            }
        }

        func close() throws {
            try container?.close()
            if let device { try kernel.close(device) }
            try iommufd?.close()
        }
    }

    @Test("each page is mapped once, unmapped once, and gone then [vfio-correctness-tests]", arguments: Scenario.all)
    func pages(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let count: UInt64 = 64
        let memory = try Memory(bench.kernel, pageCount: Int(count))
        let start: UInt64 = 0x4000_0000
        let forward = Array(0..<count)
        let checkerboard = forward.filter { $0 % 2 == 0 } + forward.filter { $0 % 2 == 1 }
        for order in [forward, forward.reversed(), checkerboard, checkerboard.reversed()] {
            for page in order {
                #expect(try target.map(memory.address + page * 4096, 4096, at: start + page * 4096) == 0)
            }
            for page in order {
                expectErrno(.fileExists) { try target.map(memory.address + page * 4096, 4096, at: start + page * 4096) }
            }
            for page in order { #expect(try target.unmap(start + page * 4096, 4096) == 4096) }
            for page in order { try target.expectNothing(at: start + page * 4096, 4096) }
        }
        try closeAll(target, memory)
    }

    @Test(
        "a huge page is one mapping, which nothing takes apart [vfio-correctness-tests: hugepage]",
        arguments: Scenario.all)
    func hugePage(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let size: UInt64 = 2 << 20
        let memory = UnsafeMutableRawBufferPointer(
            start: try bench.kernel.map(
                MemoryMapRequest(byteCount: Int(size), source: .anonymous(hugePageSize: Int(size)))),
            count: Int(size))
        let address = UInt64(UInt(bitPattern: memory.baseAddress))
        let start: UInt64 = 0x4000_0000
        #expect(try target.map(address, size, at: start) == 0)
        expectErrno(.fileExists) { try target.map(address, size, at: start) }
        expectErrno(.fileExists) { try target.map(address, 4096, at: start + size - 4096) }
        // Backward, page by page: version 1 gave the whole of it for the first page; neither of these does.
        for page in (0..<size / 4096).reversed() where page % 64 == 63 || page == 0 {
            expectErrno(scenario.usesIOMMUFD ? .noSuchFileOrDirectory : .invalidArgument) {
                Int(try target.unmap(start + page * 4096, 4096))
            }
        }
        #expect(try target.unmap(start, size) == size)
        try target.expectNothing(at: start, size)
        // And from pages that are mapped one by one.
        for page in 0..<size / 4096 {
            #expect(try target.map(address + page * 4096, 4096, at: start + page * 4096) == 0)
        }
        var total: UInt64 = 0
        for page in (0..<size / 4096).reversed() { total += try target.unmap(start + page * 4096, 4096) }
        #expect(total == size)
        try bench.kernel.unmap(memory)
        try target.close()
    }

    @Test(
        "the last page of the last range, and ranges that wrap [vfio_dma_map_limit_test.unmap_range, vfio_dma_map_limit_test.unmap_all, vfio_dma_map_limit_test.overflow]",
        arguments: Scenario.all)
    func limit(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let last = try {
            let space = try bench.makeSpace()
            let device = try Device(at: bench.edu, in: space)
            let range = try #require(try space.iovaRanges().last)
            try device.close()
            return range.upperBound.rawValue & ~0xfff
        }()
        let target = try Target(bench)
        let memory = try Memory(bench.kernel, pageCount: 2)
        #expect(try target.map(memory.address, 4096, at: last) == 0)
        #expect(try target.unmap(last, 4096) == 4096)
        #expect(try target.map(memory.address, 4096, at: last) == 0)
        if let container = target.container {
            #expect(try container.unmap(0, 0, flags: CVFIO_DMA_UNMAP_FLAG_ALL) == 4096)
        } else {
            #expect(try target.unmap(0, .max) == 4096)
        }
        let wrap: Errno = bench.offer.reportsOverflow || scenario.usesIOMMUFD ? .overflow : .invalidArgument
        expectErrno(wrap) { try target.map(memory.address, 8192, at: ~0xfff) }
        expectErrno(wrap) { Int(try target.unmap(~0xfff, 8192)) }
        try closeAll(target, memory)
    }

    @Test(
        "mappings in a row are unmapped together, in part when whole ones are meant, and end with their space [iommufd_ioas.area, iommufd_ioas.unmap_fully_contained_areas, iommufd_ioas.ioas_area_destroy, iommufd_ioas.ioas_area_auto_destroy]",
        arguments: Scenario.all)
    func areas(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let memory = try Memory(bench.kernel, pageCount: 8)
        let address = memory.address
        let start: UInt64 = 0x4000_0000
        func map() throws {
            for page in 0..<UInt64(4) { #expect(try target.map(address, 8192, at: start + page * 8192) == 0) }
        }
        try map()
        // Inside of one, and over the ends of two.
        let refusal: Errno = scenario.usesIOMMUFD ? .noSuchFileOrDirectory : .invalidArgument
        for (offset, byteCount) in [(0, 4096), (4096, 4096), (4096, 8192), (4096, 12288), (0, 12288)] {
            expectErrno(refusal) { Int(try target.unmap(start + UInt64(offset), UInt64(byteCount))) }
        }
        // An iommufd takes those in front of the one that it would have to cut, although it refuses.
        if scenario.usesIOMMUFD { #expect(try target.map(address, 8192, at: start) == 0) }
        #expect(try target.unmap(start + 8192, 16384) == 16384)
        #expect(try target.unmap(start - 8192, 16384 * 4) == 16384)
        try target.expectNothing(at: start, 32768)
        // What is left ends with the address space.
        try map()
        try target.close()
        let again = try Target(bench)
        try again.expectNothing(at: start, 32768)
        try closeAll(again, memory)
    }

    @Test("mappings of each length at each page of a buffer [iommufd_mock_domain.all_aligns]", arguments: Scenario.all)
    func alignments(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let memory = try Memory(bench.kernel, pageCount: 12)
        for first in 0..<UInt64(12) {
            for count in 1...(12 - first) {
                let iova = 0x4000_0000 + first * 4096
                #expect(try target.map(memory.address + first * 4096, count * 4096, at: iova) == 0)
                #expect(try target.unmap(iova, count * 4096) == count * 4096)
            }
        }
        try closeAll(target, memory)
    }

    // MARK: Many mappings

    @Test(
        "the layout of a large guest: one memory at many places [vfio-huge-guest-test]", arguments: Scenario.all)
    func hugeGuest(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        // 2 MiB stand for each gigabyte of the guest.
        let memory = try Memory(bench.kernel, pageCount: 512)
        let gibibyte: UInt64 = 1 << 30
        var layout: [(start: UInt64, byteCount: UInt64)] = [(0, 0xa_0000), (0x10_0000, 0x10_0000)]
        for number in 1..<3 { layout.append((UInt64(number) * gibibyte, 2 << 20)) }
        for number in 4..<128 { layout.append((UInt64(number) * gibibyte, 2 << 20)) }
        for part in layout { #expect(try target.map(memory.address, part.byteCount, at: part.start) == 0) }
        for part in layout.reversed() { #expect(try target.unmap(part.start, part.byteCount) == part.byteCount) }
        try closeAll(target, memory)
    }

    @Test(
        "fragments in an order that leaves holes, in turn with unmapping [vfio-iommu-stress-test, vfio-iommu-map-unmap]",
        arguments: Scenario.all)
    func fragments(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let memory = try Memory(bench.kernel, pageCount: 256)
        let start: UInt64 = 0x4000_0000
        for round in 0..<3 {
            // Of each four pages the last two come in turn, and of each three one is left out.
            let order = (0..<UInt64(64)).flatMap { four in [0, 1, 3, 2].map { four * 4 + $0 } }
            let pages = order.filter { $0 % 3 != UInt64(round) }
            for page in pages {
                #expect(try target.map(memory.address + page * 4096, 4096, at: start + page * 4096) == 0)
            }
            for page in pages where page % 2 == 0 { #expect(try target.unmap(start + page * 4096, 4096) == 4096) }
            // The rest in one go, holes and all.
            #expect(try target.unmap(start, 256 * 4096) == UInt64(pages.filter { $0 % 2 == 1 }.count) * 4096)
        }
        try closeAll(target, memory)
    }

    @Test(
        "a container takes 65535 mappings, and then says so [vfio-iommu-stress-test: entry limit]",
        arguments: Scenario.all)
    func entryLimit(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.edu, in: space)
        let memory = try Memory(bench.kernel, pageCount: 1)
        guard let container = space.backend as? Type1Container else {
            // An iommufd counts none.
            expectRefusal(.unsupported) { _ = try space.type1Info() }
            try closeAll(memory, device)
            return
        }
        let limit = try #require(try space.type1Info().availableMappings)
        #expect(limit == 65535)
        let start: UInt64 = 1 << 36
        // Past the library, which would keep each of them.
        let page = UnsafeRawBufferPointer(memory.bytes)
        for number in 0..<UInt64(limit) {
            let request = ABI.mapDMA(page, at: start + number << 12, isReadable: true, isWritable: false)
            _ = try request.perform(on: container)
        }
        #expect(try space.type1Info().availableMappings == 0)
        let error = expectRefusal(.limit, .noSpace) { _ = try space.allocate(byteCount: 4096) }
        #expect(
            error?.hint == "the container's number of mappings is exhausted (module parameter dma_entry_limit of "
                + "vfio_iommu_type1)")
        let byteCount = UInt64(limit) << 12
        #expect(try ABI.unmapDMA(start, byteCount: byteCount).perform(on: container).size == byteCount)
        #expect(try space.type1Info().availableMappings == 65535)
        let buffer = try space.allocate(byteCount: 4096)
        try closeAll(buffer, memory, device)
    }

    // MARK: BARs

    @Test(
        "a BAR's memory is mapped by type1, whole, in part and misaligned, and by an iommufd not at all [vfio_dma_mapping_mmio_test.map_full_bar, vfio_dma_mapping_mmio_test.map_partial_bar, vfio_dma_mapping_mmio_test.map_bar_misaligned]",
        arguments: Scenario.all)
    func bars(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let target = try Target(bench)
        let device = try Device(at: bench.memory, in: try bench.makeSpace())
        let bar = try device.map(.bar2)
        let address = UInt64(UInt(bitPattern: bar.unsafeBaseAddress))
        let size = UInt64(bar.byteCount)
        for (offset, byteCount) in [(0, size), (0, 4096), (4096, size - 4096), (size - 4096, 4096)] {
            if scenario.usesIOMMUFD {
                expectErrno(.badAddress) { try target.map(address + offset, byteCount, at: 0x4000_0000) }
            } else {
                #expect(try target.map(address + offset, byteCount, at: 0x4000_0000) == 0)
                #expect(try target.unmap(0x4000_0000, byteCount) == byteCount)
            }
        }
        try closeAll(bar, device, target)
    }

    // MARK: Limits of the process

    @Test(
        "locked memory: mapped and locked in turn, and a limit that does not bind root [accounting-stress]",
        arguments: Scenario.all)
    func lockedMemory(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.edu, in: space)
        let memory = try Memory(bench.kernel, pageCount: 16)
        for _ in 0..<8 {
            #expect(mlock(memory.bytes.baseAddress!, memory.bytes.count) == 0)
            let mapping = try space.map(memory.bytes)
            #expect(munlock(memory.bytes.baseAddress!, memory.bytes.count) == 0)
            try mapping.close()
        }
        // The tests are root, with CAP_IPC_LOCK: the limit is told in errors, and holds nobody back.
        var limit = rlimit()
        try #require(getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0)
        var low = limit
        low.rlim_cur = 8192
        try #require(setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &low) == 0)
        let mapping = try? space.map(memory.bytes)
        try #require(setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0)
        let isMapped = mapping != nil
        #expect(isMapped)
        try mapping?.close()
        try closeAll(memory, device)
    }
}
