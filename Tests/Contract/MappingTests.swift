@testable import VFIO

/// Mappings of the process's memory: where they go, what they allow, how they end.
extension Contract.MappingTests {
    @Test(
        "a device reads what the CPU wrote, and the CPU what the device wrote [vfio_pci_driver_test.memcpy_success, iommufd_mock_domain.basic]",
        arguments: Scenario.all)
    func bothWays(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let buffer = try space.allocate(byteCount: 8192)
            let bytes = (0..<256).map { UInt8($0) }
            buffer.fill(bytes)
            try edu.load(256, from: buffer.iova)
            try edu.store(256, to: buffer.iova + 4096)
            buffer.expect(bytes, at: 4096)
            try buffer.close()
        }
    }

    @Test("with bus master off a device neither reads nor writes", arguments: Scenario.all)
    func busMasterOff(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let buffer = try space.allocate(byteCount: 4096)
            try edu.write([1, 2, 3, 4], at: buffer.iova + 64, by: buffer)
            try edu.device.updateCommand { $0.remove(.busMaster) }
            buffer.fill([9, 9, 9, 9], at: 64)
            try edu.store(4, to: buffer.iova + 64)
            buffer.expect([9, 9, 9, 9], at: 64)
            try edu.device.updateCommand { $0.insert(.busMaster) }
            try edu.write([5, 6, 7, 8], at: buffer.iova + 64, by: buffer)
            buffer.expect([5, 6, 7, 8], at: 64)
            // What never left the device faults nowhere.
            #expect(try bench.machine.faults().isEmpty)
            try buffer.close()
        }
    }

    @Test(
        "memory at a huge page's boundary goes to such a boundary, and elsewhere when there is no room",
        arguments: Scenario.all)
    func hugePageBoundaries(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let size = 2 << 20
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: size)
            defer { memory.deallocate() }
            memory.initializeMemory(as: UInt8.self, repeating: 0)
            // The lowest room would be behind it.
            let small = try space.allocate(byteCount: 4096)
            let mapping = try space.map(memory)
            #expect(mapping.iova.rawValue % UInt64(size) == 0)
            try mapping.close()
            // Below 4 MiB there is one boundary, and it is not free behind it.
            let block = try space.allocate(byteCount: 4096, placement: .fixed(0x3f_f000))
            let displaced = try space.map(memory, placement: .addressWidth(22))
            #expect(displaced.iova.rawValue < UInt64(size))
            try closeAll(displaced, block, small)
        }
    }

    // MARK: Faults

    @Test(
        "DMA where nothing is mapped faults, and the device goes on [vfio_pci_driver_test.memcpy_to_unmapped_iova, vfio_pci_driver_test.memcpy_from_unmapped_iova]",
        arguments: Scenario.all)
    func unmapped(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let buffer = try space.allocate(byteCount: 4096)
            let nowhere: IOVA = 0x7654_3000
            try bench.expectFault(.read, at: nowhere, by: bench.edu) {
                try edu.expect([0, 0, 0, 0], at: nowhere, by: buffer)
            }
            try bench.expectFault(.write, at: nowhere, by: bench.edu) { try edu.store(4, to: nowhere) }
            try edu.write([1, 2], at: buffer.iova, by: buffer)
            try edu.expect([1, 2], at: buffer.iova, by: buffer)
            try buffer.close()
        }
    }

    @Test("what was unmapped faults", arguments: Scenario.all)
    func afterUnmap(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let buffer = try space.allocate(byteCount: 4096)
            let iova = buffer.iova
            buffer.fill([1, 2, 3, 4])
            try edu.expect([1, 2, 3, 4], at: iova, by: landing)
            try buffer.close()
            try bench.expectFault(.read, at: iova, by: bench.edu) { try edu.load(4, from: iova) }
            try landing.close()
        }
    }

    @Test(
        "a device can read what is mapped for reading, and not write it [iommufd_mock_domain.ro_unshare]",
        arguments: Scenario.all)
    func readOnly(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let buffer = try space.allocate(byteCount: 4096, access: .read)
            // Filled once it is mapped: the device has to see the page that the CPU writes.
            buffer.fill([1, 2, 3, 4])
            try bench.expectFault(.write, at: buffer.iova, by: bench.edu) { try edu.store(4, to: buffer.iova) }
            try edu.expect([1, 2, 3, 4], at: buffer.iova, by: landing)
            try closeAll(buffer, landing)
        }
    }

    @Test("a device can write what is mapped for writing, and on newer kernels not read it", arguments: Scenario.all)
    func writeOnly(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let buffer = try space.allocate(byteCount: 4096, access: .write)
            if bench.offer.refusesReadsOfWriteOnly {
                try bench.expectFault(.read, at: buffer.iova, by: bench.edu) { try edu.load(4, from: buffer.iova) }
            } else {
                buffer.fill([4, 3, 2, 1])
                try edu.expect([4, 3, 2, 1], at: buffer.iova, by: landing)
            }
            try edu.write([5, 6, 7, 8], at: buffer.iova, by: landing)
            buffer.expect([5, 6, 7, 8])
            try closeAll(buffer, landing)
        }
    }

    // MARK: Conflicts

    @Test("what is mapped is not mapped again [vfio-correctness-tests]", arguments: Scenario.all)
    func conflict(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let buffer = try space.allocate(byteCount: 3 * 4096, placement: .fixed(0x10_0000))
            #expect(buffer.iova == 0x10_0000)
            for (first, pages) in [(0x10_0000, 3), (0x10_0000, 1), (0x10_1000, 1), (0x10_2000, 4), (0xf_f000, 5)] {
                let error = expectRefusal(.alreadyMapped, .fileExists) {
                    _ = try space.allocate(byteCount: pages * 4096, placement: .fixed(IOVA(UInt64(first))))
                }
                #expect(error?.hint == "0x100000...0x102fff is mapped already")
            }
            let before = try space.allocate(byteCount: 4096, placement: .fixed(0xf_f000))
            let after = try space.allocate(byteCount: 4096, placement: .fixed(0x10_3000))
            try closeAll(before, buffer)
            let again = try space.allocate(byteCount: 3 * 4096, placement: .fixed(0x10_0000))
            try closeAll(again, after)
        }
    }

    @Test("placement is automatic, fixed, or below an address width", arguments: Scenario.all)
    func placement(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let low = try space.allocate(byteCount: 4096, placement: .addressWidth(16))
            #expect(low.iova.rawValue + 4096 <= 1 << 16)
            #expect(low.iova != 0)
            let automatic = try space.allocate(byteCount: 4096)
            let fixed = try space.allocate(byteCount: 4096, placement: .fixed(0x1_2345_6000))
            #expect(fixed.iova == 0x1_2345_6000)
            try edu.write([4, 3, 2, 1], at: fixed.iova, by: automatic)
            fixed.expect([4, 3, 2, 1])
            let zero = try space.allocate(byteCount: 4096, placement: .fixed(0))
            #expect(zero.iova == 0)
            expectRefusal(.noSpace) { _ = try space.allocate(byteCount: 1 << 16, placement: .addressWidth(16)) }
            expectRefusal(.noSpace) { _ = try space.allocate(byteCount: 4096, placement: .addressWidth(12)) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: 4096, placement: .addressWidth(0)) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: 4096, placement: .addressWidth(65)) }
            try closeAll(zero, fixed, automatic, low)
        }
    }

    // MARK: Ends of the address space

    @Test(
        "the last page of the last range can be mapped [vfio_dma_map_limit_test.unmap_range]",
        arguments: Scenario.all)
    func lastPage(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let last = try #require(try space.iovaRanges().last)
            let iova = IOVA(last.upperBound.rawValue & ~0xfff)
            let buffer = try space.allocate(byteCount: 4096, placement: .fixed(iova))
            try edu.write([1, 1, 2, 3], at: iova + 4092, by: landing)
            buffer.expect([1, 1, 2, 3], at: 4092)
            expectRefusal(.outOfRange) { _ = try space.allocate(byteCount: 8192, placement: .fixed(iova)) }
            try closeAll(buffer, landing)
        }
    }

    @Test(
        "what lies outside of the ranges, or off the page, is refused [iommufd_ioas.iova_ranges]",
        arguments: Scenario.all)
    func outside(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            // The window of the interrupt messages, which on x86 lies in the midst of the addresses.
            let ranges = try space.iovaRanges()
            let messages: ClosedRange<IOVA> = 0xfee0_0000...0xfeef_ffff
            #expect(!ranges.contains { $0.overlaps(messages) })
            #expect(ranges.count >= 2)
            #expect(ranges.first?.lowerBound == 0)
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
            #expect(try space.mappingAlignment() == 4096)
            expectRefusal(.outOfRange) { _ = try space.allocate(byteCount: 4096, placement: .fixed(0xfee0_0000)) }
            expectRefusal(.outOfRange) { _ = try space.allocate(byteCount: 8192, placement: .fixed(0xfedf_f000)) }
            let below = try space.allocate(byteCount: 4096, placement: .fixed(0xfedf_f000))
            let above = try space.allocate(byteCount: 4096, placement: .fixed(0xfef0_0000))
            try closeAll(above, below)
            expectRefusal(.misaligned) { _ = try space.allocate(byteCount: 4096, placement: .fixed(0x10_0800)) }
            expectRefusal(.outOfRange) {
                _ = try space.allocate(byteCount: 8192, placement: .fixed(IOVA(UInt64.max - 4095)))
            }
        }
    }

    @Test("bad sizes, memory and access are refused", arguments: Scenario.all)
    func badArguments(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: 0) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: -1) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: .max) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: 4096, access: []) }
            expectRefusal(.invalidArgument) { _ = try space.allocate(byteCount: 4096, access: DMAAccess(rawValue: 4)) }
            let memory = try Memory(bench.kernel, pageCount: 2)
            expectRefusal(.misaligned) {
                _ = try space.map(UnsafeMutableRawBufferPointer(rebasing: memory.bytes[8..<4104]))
            }
            expectRefusal(.misaligned) {
                _ = try space.map(UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<100]))
            }
            expectRefusal(.invalidArgument) {
                _ = try space.map(UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<0]))
            }
            try memory.close()
        }
    }

    @Test("memory that is not there is EFAULT", arguments: Scenario.all)
    func noMemory(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 1)
            let gone = memory.bytes
            try memory.close()
            expectRefusal(.kernel, .badAddress) { _ = try space.map(gone) }
        }
    }

    // MARK: Memory of the caller's

    @Test("memory of the caller's is mapped, and freed by the caller", arguments: Scenario.all)
    func callersMemory(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 2)
            let mapping = try space.map(memory.bytes)
            #expect(mapping.byteCount == 8192)
            let landing = try space.allocate(byteCount: 4096)
            try edu.write([1, 2, 3, 4], at: mapping.iova + 4096, by: landing)
            #expect(Array(memory.bytes[4096..<4100]) == [1, 2, 3, 4])
            // The same memory in two places.
            let second = try space.map(memory.bytes)
            try edu.expect([1, 2, 3, 4], at: second.iova + 4096, by: landing)
            try closeAll(second, mapping, landing)
            try memory.close()
        }
    }

    @Test("pages stay with the mapping when the caller unmaps them", arguments: Scenario.all)
    func pagesStay(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let memory = try Memory(bench.kernel, pageCount: 1)
            memory.bytes.copyBytes(from: [1, 2, 3, 4])
            let mapping = try space.map(memory.bytes)
            try memory.close()
            let landing = try space.allocate(byteCount: 4096)
            try edu.expect([1, 2, 3, 4], at: mapping.iova, by: landing)
            try closeAll(mapping, landing)
        }
    }

    // MARK: Patterns

    @Test(
        "pages are mapped and unmapped in any order [vfio-correctness-tests]",
        arguments: Scenario.all)
    func orders(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let count = 16
            let forward = Array(0..<count)
            let checkerboard = forward.filter { $0 % 2 == 0 } + forward.filter { $0 % 2 == 1 }
            for order in [forward, forward.reversed(), checkerboard, checkerboard.reversed()] {
                var pages = [Int: Page]()
                for index in order {
                    let iova = IOVA(0x20_0000 + UInt64(index) * 4096)
                    pages[index] = Page(try space.allocate(byteCount: 4096, placement: .fixed(iova)))
                }
                expectRefusal(.alreadyMapped, .fileExists) {
                    _ = try space.allocate(byteCount: count * 4096, placement: .fixed(0x20_0000))
                }
                for index in order { try pages.removeValue(forKey: index)!.close() }
                let all = try space.allocate(byteCount: count * 4096, placement: .fixed(0x20_0000))
                try all.close()
            }
        }
    }

    /// A buffer in a collection.
    private final class Page: Closable {
        private var buffer: DMABuffer?

        init(_ buffer: consuming DMABuffer) { self.buffer = consume buffer }

        func close() throws { try buffer.take()!.close() }
    }

    // MARK: Huge pages

    @Test("a buffer of huge pages [vfio_dma_mapping_test.dma_map_unmap hugetlb 2M]", arguments: Scenario.all)
    func hugePages(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let buffer = try space.allocate(byteCount: 1, pages: .huge2MiB)
            #expect(buffer.byteCount == 2 << 20)
            #expect(buffer.iova.rawValue % (2 << 20) == 0)
            try edu.write([1, 2, 3, 4], at: buffer.iova + 0x1f_fffc, by: landing)
            buffer.expect([1, 2, 3, 4], at: (2 << 20) - 4)
            try closeAll(buffer, landing)
        }
    }

    @Test("huge pages that were not set aside are a clear refusal", arguments: Scenario.all)
    func noHugePages(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let error = expectRefusal(.noSpace, .noMemory) {
                _ = try space.allocate(byteCount: 64 << 20, pages: .huge2MiB)
            }
            #expect(
                error?.hint
                    == "too few huge pages of this size are free; see vm.nr_hugepages and /sys/kernel/mm/hugepages")
        }
    }

    // MARK: Devices and address spaces

    @Test("before its first device, type1 can map nothing and iommufd can", arguments: Scenario.all)
    func beforeDevice(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        if scenario.usesIOMMUFD {
            let buffer = try space.allocate(byteCount: 4096)
            let everything = IOVA(0)...IOVA(UInt64.max)
            #expect(try space.iovaRanges() == [everything])
            let edu = try EduDriver(at: bench.edu, in: space)
            buffer.fill([1, 2, 3, 4])
            let landing = try space.allocate(byteCount: 4096)
            try edu.expect([1, 2, 3, 4], at: buffer.iova, by: landing)
            try closeAll(landing, edu, buffer)
        } else {
            expectRefusal(.noDevice) { _ = try space.allocate(byteCount: 4096) }
            expectRefusal(.noDevice) { _ = try space.iovaRanges() }
            expectRefusal(.noDevice) { _ = try space.mappingAlignment() }
        }
    }

    @Test("devices of one address space share it", arguments: Scenario.all)
    func sharedSpace(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let buffer = try space.allocate(byteCount: 4096)
            buffer.fill([1, 2, 3, 4])
            let second = try Device(at: bench.nvme, in: space)
            let third = try Device(at: bench.memory, in: space)
            // Mappings from before, and from after.
            let later = try space.allocate(byteCount: 4096)
            try edu.expect([1, 2, 3, 4], at: buffer.iova, by: later)
            try closeAll(third, second, later, buffer)
        }
    }

    @Test("address spaces are apart", arguments: Scenario.all)
    func separateSpaces(_ scenario: Scenario) throws {
        try scenario.runWithEdu { bench, space, edu in
            let other = try bench.makeSpace()
            let device = try Device(at: bench.nvme, in: other)
            let landing = try space.allocate(byteCount: 4096)
            let here = try space.allocate(byteCount: 4096, placement: .fixed(0x30_0000))
            let there = try other.allocate(byteCount: 4096, placement: .fixed(0x30_0000))
            let onlyThere = try other.allocate(byteCount: 4096, placement: .fixed(0x40_0000))
            here.fill([1, 1, 1, 1])
            there.fill([2, 2, 2, 2])
            try edu.expect([1, 1, 1, 1], at: 0x30_0000, by: landing)
            try bench.expectFault(.read, at: 0x40_0000, by: bench.edu) { try edu.load(4, from: 0x40_0000) }
            try closeAll(onlyThere, there, here, landing, device)
        }
    }

    @Test("mappings outlive the devices of their address space", arguments: Scenario.all)
    func outliveDevice(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let first = try EduDriver(at: bench.edu, in: space)
        let buffer = try space.allocate(byteCount: 4096)
        buffer.fill([1, 2, 3, 4])
        try first.close()
        let second = try EduDriver(at: bench.edu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        try second.expect([1, 2, 3, 4], at: buffer.iova, by: landing)
        try closeAll(landing, second, buffer)
    }
}
