@testable import VFIO

/// What a type1 container does for who moves a running machine: dirty pages, and addresses that change.
extension Contract.DirtyTrackingTests {
    /// Runs a test on a container, with a device. An iommufd refuses it, before the kernel is asked.
    private func withContainer(
        _ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, borrowing EduDriver) throws -> Void
    ) throws {
        let bench = try scenario.makeBench(sourceLocation: sourceLocation)
        let space = try bench.makeSpace()
        if !scenario.usesIOMMUFD { expectRefusal(.noDevice) { _ = try space.startDirtyTracking() } }
        let edu = try EduDriver(at: bench.edu, in: space)
        guard !scenario.usesIOMMUFD else {
            expectRefusal(.unsupported) { _ = try space.startDirtyTracking() }
            let memory = try Memory(bench.kernel, pageCount: 1)
            let mapping = try space.map(memory.bytes)
            expectRefusal(.unsupported) { try mapping.invalidateVaddr() }
            expectRefusal(.unsupported) { try mapping.updateVaddr(memory.bytes) }
            try closeAll(mapping, memory, edu)
            return
        }
        try body(bench, space, edu)
        try edu.close()
    }

    @Test("without a word from the devices, what is mapped is dirty (VFIO_IOMMU_DIRTY_PAGES)", arguments: Scenario.all)
    func bitmap(_ scenario: Scenario) throws {
        try withContainer(scenario) { bench, space, edu in
            let early = try space.allocate(byteCount: 3 * 4096, placement: .fixed(0x10_0000))
            let tracking = try space.startDirtyTracking()
            #expect(tracking.pageSize == 4096)
            expectRefusal(.busy) { _ = try space.startDirtyTracking() }
            let late = try space.allocate(byteCount: 70 * 4096, placement: .fixed(0x20_0000))
            let first = try tracking.dirtyPages(of: early)
            #expect(first.pageCount == 3)
            #expect(first.words == [7])
            #expect(first.dirtyRanges == [0x10_0000...0x10_2fff])
            let second = try tracking.dirtyPages(of: late)
            #expect(second.words == [.max, 63])
            #expect(second.dirtyPageCount == 70)
            #expect(second.isDirty(page: 69))
            // Both mappings, and what is mapped nowhere.
            let both = try tracking.dirtyPages(from: 0xf_f000, byteCount: 0x20_0000)
            #expect(both.pageCount == 512)
            #expect(both.dirtyRanges == [0x10_0000...0x10_2fff, 0x20_0000...0x24_5fff])
            #expect(both.isDirty(page: 0) == false)
            // Again, since nobody tells what was written in between.
            let again = try tracking.dirtyPages(of: early)
            #expect(again.dirtyPageCount == 3)
            expectRefusal(.outOfRange, .invalidArgument) {
                _ = try tracking.dirtyPages(from: 0x10_1000, byteCount: 4096)
            }
            expectRefusal(.misaligned) { _ = try tracking.dirtyPages(from: 0x10_0800, byteCount: 4096) }
            expectRefusal(.misaligned) { _ = try tracking.dirtyPages(from: 0x10_0000, byteCount: 0) }
            expectRefusal(.outOfRange) { _ = try tracking.dirtyPages(from: 0, byteCount: 1 << 44) }
            expectRefusal(.outOfRange) { _ = try tracking.dirtyPages(from: IOVA(~0xfff), byteCount: 8192) }
            try tracking.close()
            // It ends without a word, too.
            do { _ = try space.startDirtyTracking() }
            let next = try space.startDirtyTracking()
            try closeAll(next, late, early)
        }
    }

    @Test(
        "the last dirty pages come with the unmapping (VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)",
        arguments: Scenario.all)
    func unmap(_ scenario: Scenario) throws {
        try withContainer(scenario) { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 4)
            let tracking = try space.startDirtyTracking()
            let mapping = try space.map(memory.bytes, placement: .fixed(0x40_0000))
            let last = try tracking.unmap(mapping)
            #expect(last.words == [15])
            #expect(last.iova == 0x40_0000)
            try bench.expectFault(.read, at: 0x40_0000, by: bench.edu) { try edu.load(4, from: 0x40_0000) }
            // The addresses are free again, to the library and to the kernel.
            #expect(space.mapping(overlapping: 0x40_0000...0x40_3fff) == nil)
            let next = try space.map(memory.bytes, placement: .fixed(0x40_0000))
            try next.close()
            let other = try AddressSpace(.type1, kernel: bench.kernel)
            let nvme = try Device(at: bench.nvme, in: other)
            let stranger = try other.map(memory.bytes)
            do throws(VFIOError) {
                _ = try tracking.unmap(stranger)
                Issue.record("a mapping of another address space was unmapped")
            } catch { #expect(error.code == .invalidArgument) }
            try closeAll(nvme, tracking, memory)
        }
    }

    @Test("tracking keeps the IOMMU of a container", arguments: Scenario.all)
    func keepsIOMMU(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        guard !scenario.usesIOMMUFD else {
            expectRefusal(.unsupported) { _ = try space.startDirtyTracking() }
            return
        }
        let device = try Device(at: bench.edu, in: space)
        let tracking = try space.startDirtyTracking()
        try device.close()
        let pages = try tracking.dirtyPages(from: 0x10_0000, byteCount: 4096)
        #expect(pages.words == [0])
        let again = try Device(at: bench.edu, in: space)
        try closeAll(tracking, again)
        expectRefusal(.noDevice) { _ = try space.startDirtyTracking() }
    }

    @Test("questions about dirty pages that are malformed", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        try withContainer(scenario) { bench, space, edu in
            let descriptor = try space.requireContainer(for: "test").descriptor
            let kernel = bench.kernel
            func ask(_ flags: UInt32, size: UInt32 = 8) throws(Errno) -> Int {
                let buffer = RequestBuffer(byteCount: 64)
                buffer.store(size, at: 0)
                buffer.store(flags, at: 4)
                return try kernel.control(descriptor, CVFIO_IOMMU_DIRTY_PAGES, with: buffer)
            }
            let (start, stop) = (CVFIO_IOMMU_DIRTY_PAGES_FLAG_START, CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
            let get = CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
            expectErrno(.invalidArgument, "too short") { try ask(start, size: 4) }
            expectErrno(.invalidArgument, "unknown flag") { try ask(8) }
            expectErrno(.invalidArgument, "two flags") { try ask(start | stop) }
            expectErrno(.invalidArgument, "no range") { try ask(get) }
            expectErrno(.invalidArgument, "an empty range") { try ask(get, size: 48) }
            // Twice is once, and what is off can be put off.
            #expect(try ask(stop) == 0)
            #expect(try ask(start) == 0)
            #expect(try ask(start) == 0)
            #expect(try ask(stop) == 0)
        }
    }

    // MARK: Addresses

    @Test(
        "a mapping's address is given up and set anew, while DMA goes on (VFIO_UPDATE_VADDR)",
        arguments: Scenario.all)
    func addresses(_ scenario: Scenario) throws {
        try withContainer(scenario) { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 2)
            let landing = try space.allocate(byteCount: 4096)
            let mapping = try space.map(memory.bytes)
            memory.bytes.storeBytes(of: 0x0403_0201, as: UInt32.self)
            expectRefusal(.invalidArgument, .invalidArgument) { try mapping.updateVaddr(memory.bytes) }
            try mapping.invalidateVaddr()
            expectRefusal(.invalidArgument, .invalidArgument) { try mapping.invalidateVaddr() }
            // A second refusal has, as a side effect of the kernel's, made nothing good: the address is still owed.
            try edu.expect([1, 2, 3, 4], at: mapping.iova, by: landing)
            expectRefusal(.invalidArgument) {
                try mapping.updateVaddr(UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<4096]))
            }
            try mapping.updateVaddr(memory.bytes)
            expectRefusal(.invalidArgument, .invalidArgument) { try mapping.updateVaddr(memory.bytes) }
            try edu.expect([1, 2, 3, 4], at: mapping.iova, by: landing)
            // One that is owed an address is unmapped as any other.
            try mapping.invalidateVaddr()
            try mapping.close()
            let next = try Device(at: bench.nvme, in: space)
            try closeAll(next, landing, memory)
        }
    }

    @Test("no group joins a container while an address is owed", arguments: Scenario.all)
    func owed(_ scenario: Scenario) throws {
        try withContainer(scenario) { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 1)
            let mapping = try space.map(memory.bytes)
            try mapping.invalidateVaddr()
            expectRefusal(.busy, .resourceBusy) { _ = try Device(at: bench.nvme, in: space) }
            try mapping.updateVaddr(memory.bytes)
            let nvme = try Device(at: bench.nvme, in: space)
            try closeAll(nvme, mapping, memory)
        }
    }
}
