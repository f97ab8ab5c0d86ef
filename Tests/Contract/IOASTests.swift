@testable import VFIO

/// What an iommufd's address space has beyond mappings of memory: siblings, copies, files, options.
extension Contract.IOASTests {
    /// Runs a test on an iommufd, with a device. To a container, all of it is refused before the kernel is asked.
    private func withIOAS(
        _ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, borrowing EduDriver) throws -> Void
    ) throws {
        try scenario.runWithEdu(sourceLocation: sourceLocation) { bench, space, edu in
            guard !scenario.usesIOMMUFD else { return try body(bench, space, edu) }
            let buffer = try space.allocate(byteCount: 4096)
            expectRefusal(.unsupported) { _ = try space.makeSibling() }
            expectRefusal(.unsupported) { _ = try space.copy(buffer) }
            expectRefusal(.unsupported) { _ = try space.map(file: FileDescriptor(rawValue: 0), 0..<4096) }
            expectRefusal(.unsupported) { try space.allowIOVAs([0...0xffff]) }
            expectRefusal(.unsupported) { try space.changeProcess() }
            expectRefusal(.unsupported) { _ = try space.usesLargePages() }
            expectRefusal(.unsupported) { try space.setUsesLargePages(false) }
            #expect(try space.lockedMemoryAccounting() == .perProcess)
            try buffer.close()
        }
    }

    // MARK: Files

    @Test("a file in memory is mapped, and holds by itself", arguments: Scenario.all)
    func file(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let file = try FileDescriptor.inMemory(byteCount: 16384)
            try file.writeAll(toAbsoluteOffset: 8192, [2, 7, 1, 8])
            let mapping = try space.map(file: file, 8192..<16384)
            #expect(mapping.byteCount == 8192)
            try edu.expect([2, 7, 1, 8], at: mapping.iova, by: landing)
            try edu.write([3, 1, 4, 1], at: mapping.iova + 4096, by: landing)
            var bytes = [UInt8](repeating: 0, count: 4)
            _ = try bytes.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: 12288, into: $0) }
            #expect(bytes == [3, 1, 4, 1])
            try file.close()
            try edu.expect([2, 7, 1, 8], at: mapping.iova, by: landing)
            let iova = mapping.iova
            try mapping.close()
            try bench.expectFault(.read, at: iova, by: bench.edu) { try edu.load(4, from: iova) }
            try landing.close()
        }
    }

    @Test("what is no file in memory, or leaves it, is refused", arguments: Scenario.all)
    func badFile(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            let file = try FileDescriptor.inMemory(byteCount: 8192)
            expectRefusal(.invalidArgument) { _ = try space.map(file: file, 4096..<4096) }
            expectRefusal(.misaligned) { _ = try space.map(file: file, 0..<100) }
            expectRefusal(.misaligned) { _ = try space.map(file: file, 100..<4096) }
            expectRefusal(.misaligned) { _ = try space.map(file: file, 0..<4096, placement: .fixed(0x1001)) }
            expectRefusal(.invalidArgument, .invalidArgument) { _ = try space.map(file: file, 0..<12288) }
            let other = try FileDescriptor.open("/dev/null", .readWrite)
            expectRefusal(.invalidArgument, .invalidArgument) { _ = try space.map(file: other, 0..<4096) }
            try other.close()
            expectRefusal(.kernel, .badFileDescriptor) {
                _ = try space.map(file: FileDescriptor(rawValue: 9999), 0..<4096)
            }
            // Nothing of it is left behind.
            let mapping = try space.map(file: file, 0..<8192, placement: .fixed(0x10_0000))
            expectRefusal(.alreadyMapped, .fileExists) {
                _ = try space.map(file: file, 0..<4096, placement: .fixed(0x10_1000))
            }
            try closeAll(mapping, file)
        }
    }

    // MARK: Siblings and copies

    @Test(
        "siblings are apart, and a copy joins them [iommufd_ioas.copy_area, iommufd_mock_domain.user_copy, iommufd_mock_domain.all_aligns_copy]",
        arguments: Scenario.all)
    func copy(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            let sibling = try space.makeSibling()
            let nvme = try Device(at: bench.nvme, in: sibling)
            let buffer = try sibling.allocate(byteCount: 8192, placement: .fixed(0x20_0000))
            buffer.fill([1, 6, 1, 8])
            try bench.expectFault(.read, at: 0x20_0000, by: bench.edu) { try edu.load(4, from: 0x20_0000) }
            let copy = try space.copy(buffer, placement: .fixed(0x30_0000))
            #expect(copy.byteCount == 8192)
            try edu.expect([1, 6, 1, 8], at: 0x30_0000, by: landing)
            let second = try sibling.copy(copy, access: .read)
            #expect(second.iova != copy.iova)
            try second.close()
            // The memory stays pinned for the copy.
            try buffer.close()
            try edu.expect([1, 6, 1, 8], at: 0x30_0000, by: landing)
            try closeAll(copy, nvme, landing)
        }
    }

    @Test(
        "copies go within one iommufd, with no more access, to a free place [iommufd_ioas.copy_sweep]",
        arguments: Scenario.all)
    func badCopy(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            let sibling = try space.makeSibling()
            let stranger = try bench.makeSpace()
            let buffer = try space.allocate(byteCount: 4096, access: .read)
            expectRefusal(.invalidArgument) { _ = try stranger.copy(buffer) }
            expectRefusal(.permissionDenied, .notPermitted) { _ = try sibling.copy(buffer, access: .readWrite) }
            expectRefusal(.invalidArgument) { _ = try sibling.copy(buffer, access: []) }
            let copy = try sibling.copy(buffer, access: .read, placement: .fixed(0x10_0000))
            expectRefusal(.alreadyMapped, .fileExists) {
                _ = try sibling.copy(buffer, access: .read, placement: .fixed(0x10_0000))
            }
            try closeAll(copy, buffer)
        }
    }

    @Test("an address space is destroyed while its siblings live [iommufd_ioas.ioas_destroy]", arguments: Scenario.all)
    func destroy(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            let context = try space.requireIOMMUFD(for: "test")
            var sibling: AddressSpace? = try space.makeSibling()
            let number = try sibling!.requireIOMMUFD(for: "test").ioas
            let buffer = try sibling!.allocate(byteCount: 4096)
            sibling = nil
            // A mapping keeps it.
            #expect(try context.file.option(CIOMMU_OPTION_HUGE_PAGES, of: number) == 1)
            try buffer.close()
            #expect(throws: Errno.noSuchFileOrDirectory) { try context.file.destroy(number) }
            // A device keeps an address space too: the kernel says so itself.
            #expect(throws: Errno.resourceBusy) { try context.file.destroy(context.ioas) }
        }
    }

    // MARK: Options

    @Test("ranges are kept from devices that come later [iommufd_ioas.area_allowed]", arguments: Scenario.all)
    func ranges(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            expectRefusal(.invalidArgument, .invalidArgument) { try space.allowIOVAs([0x1000...0x1000]) }
            expectRefusal(.invalidArgument, .invalidArgument) {
                try space.allowIOVAs([0x1000...0x2fff, 0x2000...0x3fff])
            }
            // The window for interrupts is a device's already.
            expectRefusal(.outOfRange, .addressInUse) { try space.allowIOVAs([0xfee0_0000...0xfee0_ffff]) }
            try space.allowIOVAs([0x10_0000...0x1f_ffff, 0x1000...0x1fff])
            let outside = try space.allocate(byteCount: 4096, placement: .fixed(0x80_0000))
            try outside.close()
            try space.allowIOVAs([])

            let empty = try space.makeSibling()
            try empty.allowIOVAs([0xfee0_0000...0xfee0_ffff])
            expectRefusal(.kernel, .addressInUse) { _ = try Device(at: bench.nvme, in: empty) }
            try empty.allowIOVAs([])
            let nvme = try Device(at: bench.nvme, in: empty)
            try nvme.close()
        }
    }

    @Test(
        "large pages can be forbidden while nothing is mapped [iommufd_ioas.ioas_option_huge_pages]",
        arguments: Scenario.all)
    func largePages(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            #expect(try space.usesLargePages())
            let buffer = try space.allocate(byteCount: 4096)
            expectRefusal(.inUse, .invalidArgument) { try space.setUsesLargePages(false) }
            #expect(try space.usesLargePages())
            try buffer.close()
            try space.setUsesLargePages(false)
            #expect(try space.usesLargePages() == false)
            let other = try space.allocate(byteCount: 2 << 20)
            other.fill([5, 5, 5, 5])
            let landing = try space.allocate(byteCount: 4096)
            try edu.expect([5, 5, 5, 5], at: other.iova, by: landing)
            try space.setUsesLargePages(true)
            #expect(try space.usesLargePages())
            try closeAll(landing, other)
        }
    }

    @Test("locked memory counts per user or per process [iommufd.global_options]", arguments: Scenario.all)
    func accounting(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard bench.offer.hasIOMMUFD else {
            expectRefusal(.unsupported, .noSuchFileOrDirectory) {
                _ = try AddressSpace(accounting: .perProcess, kernel: bench.kernel)
            }
            return
        }
        let space = try AddressSpace(accounting: .perProcess, kernel: bench.kernel)
        #expect(space.interface == .iommufd)
        #expect(try space.lockedMemoryAccounting() == .perProcess)
        #expect(try space.makeSibling().lockedMemoryAccounting() == .perProcess)
        let other = try AddressSpace(accounting: .perUser, kernel: bench.kernel)
        #expect(try other.lockedMemoryAccounting() == .perUser)
        #expect(try AddressSpace(.iommufd, kernel: bench.kernel).lockedMemoryAccounting() == .perUser)
        // It is the first choice of all.
        let file = try space.requireIOMMUFD(for: "test").file
        #expect(throws: Errno.resourceBusy) { _ = try file.option(CIOMMU_OPTION_RLIMIT_MODE, set: 0) }
        #expect(throws: Errno.notSupported) { _ = try file.option(CIOMMU_OPTION_RLIMIT_MODE, of: 1) }
        #expect(throws: Errno.notSupported) { _ = try file.option(77) }
    }

    @Test(
        "mappings of files can be accounted to this process, others cannot [change_process.basic]",
        arguments: Scenario.all)
    func process(_ scenario: Scenario) throws {
        try withIOAS(scenario) { bench, space, edu in
            try space.changeProcess()
            let file = try FileDescriptor.inMemory(byteCount: 4096)
            let mapping = try space.map(file: file, 0..<4096)
            try space.changeProcess()
            let buffer = try space.makeSibling().allocate(byteCount: 4096)
            // It is about the whole iommufd.
            expectRefusal(.invalidArgument, .invalidArgument) { try space.changeProcess() }
            try closeAll(buffer, mapping, file)
        }
    }
}
