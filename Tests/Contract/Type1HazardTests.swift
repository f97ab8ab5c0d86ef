@testable import VFIO

/// What a type1 container does with a BAR, and why the library does not let it.
extension Contract.Type1HazardTests {
    @Test("the memory of a BAR is not mapped as if it were ordinary memory", arguments: Scenario.all)
    func refused(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.memory, in: space)
        let bar = try device.map(.bar2, 0..<65536)
        let memory = UnsafeMutableRawBufferPointer(start: bar.unsafeBaseAddress, count: bar.byteCount)
        expectRefusal(.deviceMemory) { _ = try space.map(memory) }
        let page = UnsafeMutableRawBufferPointer(rebasing: memory[4096..<8192])
        expectRefusal(.deviceMemory) { _ = try space.map(page, access: .read) }
        // In another address space too, and behind the mapping that withRegisters keeps.
        let other = try bench.makeSpace()
        let edu = try Device(at: bench.edu, in: other)
        expectRefusal(.deviceMemory) { _ = try other.map(memory) }
        try closeAll(edu, bar, device)
    }

    @Test(
        "a BAR mapped without revocation is reached by type1, and not at all by iommufd [vfio_dma_mapping_mmio_test.map_partial_bar]",
        arguments: Scenario.all)
    func unsafely(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let device = try Device(at: bench.memory, in: space)
        let landing = try space.allocate(byteCount: 4096)
        let bar = try device.map(.bar2, 4096..<8192)
        let whole = try device.map(.bar2)
        if scenario.usesIOMMUFD {
            expectRefusal(.unsupported) { _ = try space.unsafelyMapWithoutRevocation(bar) }
            expectRefusal(.unsupported) { _ = try space.unsafelyMapWithoutRevocation(whole) }
        } else {
            bar.fill([1, 2, 3, 4])
            let part = try space.unsafelyMapWithoutRevocation(bar)
            let all = try space.unsafelyMapWithoutRevocation(whole)
            var found = try edu.bytes(4, at: part.iova, by: landing)
            #expect(found == [1, 2, 3, 4])
            found = try edu.bytes(4, at: all.iova + 4096, by: landing)
            #expect(found == [1, 2, 3, 4])
            try closeAll(part, all)
        }
        try closeAll(bar, whole, landing, device, edu)
    }

    @Test("the hazard: a device reads a BAR by type1 after the BAR's owner was closed", arguments: Scenario.all)
    func hazard(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        let ownersSpace = try bench.makeSpace()
        let owner = try Device(at: bench.memory, in: ownersSpace)
        let bar = try owner.map(.bar2, 0..<4096)
        bar.fill([0xde, 0xad, 0xbe, 0xef])
        if scenario.usesIOMMUFD {
            expectRefusal(.unsupported) { _ = try space.unsafelyMapWithoutRevocation(bar) }
            try closeAll(bar, owner)
        } else {
            let mapping = try space.unsafelyMapWithoutRevocation(bar)
            try closeAll(bar, owner)
            try edu.expect([0xde, 0xad, 0xbe, 0xef], at: mapping.iova, by: landing)
            #expect(try bench.machine.faults().isEmpty)
            try mapping.close()
        }
        try closeAll(landing, edu)
    }

    @Test("a dma-buf does not go into a type1 container", arguments: Scenario.all)
    func noImport(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        // A container, on every kernel.
        let space = try AddressSpace(.type1, kernel: bench.kernel)
        let device = try Device(at: bench.nvme, in: space)
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        expectRefusal(.unsupported) { _ = try space.map(window) }
        try closeAll(window, device)
    }
}
