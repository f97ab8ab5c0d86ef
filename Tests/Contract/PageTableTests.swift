@testable import VFIO
@testable import VFIOPassthrough

/// What an iommufd has of the hardware: page tables as objects, attachment to them, faults.
extension Contract.PageTableTests {
    /// Runs a test on an iommufd, with a device. To a container, all of it is refused before the kernel is asked.
    private func withIOMMUFD(
        _ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, borrowing EduDriver) throws -> Void
    ) throws {
        try scenario.runWithEdu(sourceLocation: sourceLocation) { bench, space, edu in
            guard !scenario.usesIOMMUFD else { return try body(bench, space, edu) }
            expectRefusal(.unsupported) { _ = try edu.device.iommuHardware() }
            expectRefusal(.unsupported) { _ = try edu.device.iommuHardware(.intelVTD) }
            expectRefusal(.unsupported) { _ = try edu.device.makePageTable() }
            expectRefusal(.unsupported) { try edu.device.attach(to: space) }
            expectRefusal(.unsupported) { try edu.device.detach() }
            expectRefusal(.unsupported) { try edu.device.detach(pasid: 1) }
            expectRefusal(.unsupported) { _ = try space.makeFaultQueue() }
        }
    }

    @Test("what the IOMMU is (IOMMU_GET_HW_INFO) [iommufd_ioas.get_hw_info]", arguments: Scenario.all)
    func hardware(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let hardware = try edu.device.iommuHardware()
            guard case .intelVTD(let capability, let extended, _) = hardware.kind else {
                Issue.record("\(hardware)")
                return
            }
            // Caching mode, which the lab's machine has on; interrupt remapping and queued invalidation.
            #expect(capability & 1 << 7 != 0)
            #expect(extended & 0b1010 == 0b1010)
            #expect(hardware.capabilities == [.lacksATS])
            #expect(hardware.pasidBits == 0)
            // The data of one type, which the kernel has taken since 6.17.
            #expect(try edu.device.iommuHardware(.intelVTD) == hardware)
            expectRefusal(.unsupported, .notSupported) { _ = try edu.device.iommuHardware(.amd) }
        }
    }

    @Test(
        "a page table is made, attached, and lives as long as a device uses it [iommufd_ioas.hwpt_attach, iommufd_mock_domain.alloc_hwpt]",
        arguments: Scenario.all)
    func attach(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let landing = try space.allocate(byteCount: 4096)
            landing.fill([1, 2, 3, 4])
            let table = try edu.device.makePageTable()
            let number = table.object.id
            try edu.device.attach(to: table)
            try edu.expect([1, 2, 3, 4], at: landing.iova, by: landing)
            expectInUse(table)
            // Attached, it is there without its owner.
            let file = try space.requireIOMMUFD(for: "test").file
            #expect(throws: Errno.resourceBusy) { try file.destroy(number) }
            try edu.expect([1, 2, 3, 4], at: landing.iova, by: landing)
            try edu.device.attach(to: space)
            #expect(throws: Errno.noSuchFileOrDirectory) { try file.destroy(number) }
            try edu.expect([1, 2, 3, 4], at: landing.iova, by: landing)
            let unused = try edu.device.makePageTable()
            try closeAll(unused, landing)
        }
    }

    /// Closes a page table that a device is attached to.
    private func expectInUse(_ table: consuming HardwarePageTable, sourceLocation: SourceLocation = #_sourceLocation) {
        do throws(VFIOError) {
            try table.close()
            Issue.record("it was closed", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == .inUse, sourceLocation: sourceLocation)
            #expect(error.errno == .resourceBusy, sourceLocation: sourceLocation)
        }
    }

    @Test(
        "a device moves to another address space and back, and is detached [iommufd_mock_domain.replace]",
        arguments: Scenario.all)
    func move(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let here = try space.allocate(byteCount: 4096, placement: .fixed(0x10_0000))
            here.fill([1, 1, 1, 1])
            var other: AddressSpace? = try space.makeSibling()
            let there = try other!.allocate(byteCount: 4096, placement: .fixed(0x10_0000))
            there.fill([2, 2, 2, 2])
            try edu.device.attach(to: other!)
            try edu.expect([2, 2, 2, 2], at: 0x10_0000, by: there)
            // Of a page table of the other address space, too.
            let table = try edu.device.makePageTable(of: other)
            try edu.device.attach(to: table)
            try edu.expect([2, 2, 2, 2], at: 0x10_0000, by: there)
            try edu.device.attach(to: space)
            try edu.expect([1, 1, 1, 1], at: 0x10_0000, by: here)
            try table.close()

            try edu.device.detach()
            try edu.device.detach()
            try edu.load(4, from: 0x10_0000)
            try edu.device.attach(to: space)
            try edu.expect([1, 1, 1, 1], at: 0x10_0000, by: here)
            let stranger = try bench.makeSpace()
            expectRefusal(.invalidArgument) { try edu.device.attach(to: stranger) }
            expectRefusal(.invalidArgument) { _ = try edu.device.makePageTable(of: stranger) }
            try there.close()
            other = nil
            try here.close()
        }
    }

    @Test("a page table narrows its address space to what the IOMMU reaches", arguments: Scenario.all)
    func narrows(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let sibling = try space.makeSibling()
            // Far beyond any IOMMU, and possible as long as there is none.
            let beyond = IOVA(1 << 60)
            let early = try sibling.allocate(byteCount: 4096, placement: .fixed(beyond))
            try early.close()
            let table = try edu.device.makePageTable(of: sibling)
            expectRefusal(.outOfRange) { _ = try sibling.allocate(byteCount: 4096, placement: .fixed(beyond)) }
            try table.close()
        }
    }

    @Test("what is reserved for a device is so in the address space behind its page table", arguments: Scenario.all)
    func reserves(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let sibling = try space.makeSibling()
            // Where devices send their MSIs.
            let messages = IOVA(0xfee0_0000)
            let table = try edu.device.makePageTable(of: sibling)
            let early = try sibling.allocate(byteCount: 4096, placement: .fixed(messages))
            try early.close()
            try edu.device.attach(to: table)
            expectRefusal(.outOfRange) { _ = try sibling.allocate(byteCount: 4096, placement: .fixed(messages)) }
            try edu.device.attach(to: space)
            try table.close()
        }
    }

    @Test("a page table that is attached ends with the device", arguments: Scenario.all)
    func endsWithDevice(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.nvme, in: space)
        guard scenario.usesIOMMUFD else {
            expectRefusal(.unsupported) { _ = try device.makePageTable() }
            try device.close()
            return
        }
        let table = try device.makePageTable()
        let number = table.object.id
        try device.attach(to: table)
        expectInUse(table)
        try device.close()
        let file = try space.requireIOMMUFD(for: "test").file
        #expect(throws: Errno.noSuchFileOrDirectory) { try file.destroy(number) }
    }

    // MARK: What this hardware lacks

    @Test("dirty tracking, nesting and PASIDs are refused where the hardware has none", arguments: Scenario.all)
    func lacking(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            for options: HardwarePageTable.Options in [.dirtyTracking, .nestingParent] {
                expectRefusal(.unsupported, .notSupported) { _ = try edu.device.makePageTable(options: options) }
            }
            expectRefusal(.unsupported, .notSupported) {
                _ = try edu.device.makePageTable(options: .init(rawValue: 1 << 17))
            }
            let table = try edu.device.makePageTable()
            expectRefusal(.unsupported, .notSupported) { try table.setDirtyTracking(true) }
            expectRefusal(.unsupported, .notSupported) { try table.setDirtyTracking(false) }
            expectRefusal(.unsupported, .notSupported) { _ = try table.dirtyPages(from: 0x10_0000, byteCount: 8192) }
            expectRefusal(.misaligned) { _ = try table.dirtyPages(from: 0x10_0800, byteCount: 8192) }
            expectRefusal(.misaligned) { _ = try table.dirtyPages(from: 0, byteCount: 4096, pageSize: 3) }
            expectRefusal(.outOfRange) { _ = try table.dirtyPages(from: IOVA(~0xfff), byteCount: 8192) }
            expectRefusal(.unsupported, .invalidArgument) { try edu.device.attach(to: table, pasid: 1) }
            // One for PASIDs can be made all the same; it is the device that has none.
            let forPASIDs = try edu.device.makePageTable(options: .pasid)
            expectRefusal(.unsupported, .invalidArgument) { try edu.device.attach(to: forPASIDs, pasid: 1) }
            try edu.device.attach(to: forPASIDs)
            try edu.device.attach(to: space)
            try forPASIDs.close()
            // A PASID's detachment is not the device's.
            try edu.device.detach(pasid: 1)
            let buffer = try space.allocate(byteCount: 4096)
            buffer.fill([9, 8, 7, 6])
            try edu.expect([9, 8, 7, 6], at: buffer.iova, by: buffer)
            try closeAll(buffer, table)
        }
    }

    @Test("a fault queue, and a page table with one", arguments: Scenario.all)
    func faults(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let queue = try space.makeFaultQueue()
            let number = queue.object.id
            #expect(try queue.faults().isEmpty)
            #expect(try queue.wait(timeout: .zero) == false)
            let file = try space.requireIOMMUFD(for: "test").file
            #expect(throws: Errno.resourceBusy) { try file.destroy(number) }
            let table = try edu.device.makePageTable(faults: queue)
            // The device cannot ask for pages.
            expectRefusal(.kernel, .operationNotSupportedByDevice) { try edu.device.attach(to: table) }
            let stranger = try bench.makeSpace().makeFaultQueue()
            expectRefusal(.invalidArgument, of: stranger) { _ = try edu.device.makePageTable(faults: $0) }
            try stranger.close()
            let buffer = try space.allocate(byteCount: 4096)
            try edu.expect([0, 0, 0, 0], at: buffer.iova, by: buffer)
            #expect(throws: Errno.resourceBusy) { try file.destroy(number) }
            try closeAll(table, queue)
            #expect(throws: Errno.noSuchFileOrDirectory) { try file.destroy(number) }
            try buffer.close()
        }
    }

    @Test("a fault queue ends without a word, and the one of a page table with that", arguments: Scenario.all)
    func faultsEnd(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let file = try space.requireIOMMUFD(for: "test").file
            func isGone(_ number: UInt32) -> Bool {
                do throws(Errno) {
                    try file.destroy(number)
                    return false
                } catch { return error == .noSuchFileOrDirectory }
            }
            let number = try space.makeFaultQueue().object.id
            #expect(isGone(number))
            var queue: UInt32 = 0
            let table = try Self.tableOfItsOwnQueue(edu.device, space, number: &queue)
            #expect(throws: Errno.resourceBusy) { try file.destroy(queue) }
            try table.close()
            #expect(isGone(queue))
        }
    }

    /// A page table whose fault queue is let go before it.
    private static func tableOfItsOwnQueue(
        _ device: borrowing Device, _ space: AddressSpace, number: inout UInt32
    ) throws -> HardwarePageTable {
        let queue = try space.makeFaultQueue()
        number = queue.object.id
        return try device.makePageTable(faults: queue)
    }

    @Test("objects of virtual machines are refused", arguments: Scenario.all)
    func virtualMachines(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let descriptor = try space.requireIOMMUFD(for: "test").descriptor
            let kernel = bench.kernel
            let device = try #require(edu.device.core.iommufdNumber)
            let table = try edu.device.makePageTable()
            // The library knows what is no nesting parent.
            expectRefusal(.invalidArgument, of: table) {
                _ = try edu.device.makePageTable(over: $0, .intelVTD(table: 0x1000, addressWidth: 48, options: []))
            }
            expectRefusal(.invalidArgument, of: table) { _ = try edu.device.makeVirtualIOMMU(.armSMMUv3, over: $0) }
            var viommu = ciommu_viommu_alloc()
            viommu.size = UInt32(MemoryLayout<ciommu_viommu_alloc>.size)
            viommu.dev_id = device
            viommu.hwpt_id = table.object.id
            for type in [CIOMMU_VIOMMU_TYPE_DEFAULT, CIOMMU_VIOMMU_TYPE_ARM_SMMUV3] {
                viommu.type = type
                kernel.expectErrno(.notSupported, "a virtual IOMMU", descriptor, CIOMMU_VIOMMU_ALLOC, &viommu)
            }
            viommu.dev_id = 999
            kernel.expectErrno(.noSuchFileOrDirectory, "of no device", descriptor, CIOMMU_VIOMMU_ALLOC, &viommu)
            var vdevice = ciommu_vdevice_alloc()
            vdevice.size = UInt32(MemoryLayout<ciommu_vdevice_alloc>.size)
            vdevice.viommu_id = 999
            vdevice.dev_id = device
            kernel.expectErrno(.noSuchFileOrDirectory, "a virtual device", descriptor, CIOMMU_VDEVICE_ALLOC, &vdevice)
            var events = ciommu_veventq_alloc()
            events.size = UInt32(MemoryLayout<ciommu_veventq_alloc>.size)
            events.viommu_id = 999
            kernel.expectErrno(.notSupported, "events of no type", descriptor, CIOMMU_VEVENTQ_ALLOC, &events)
            events.type = CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3
            kernel.expectErrno(.invalidArgument, "no room for events", descriptor, CIOMMU_VEVENTQ_ALLOC, &events)
            events.veventq_depth = 8
            expectErrno(.noSuchFileOrDirectory, "events of no virtual IOMMU") {
                try kernel.control(descriptor, CIOMMU_VEVENTQ_ALLOC, with: &events)
            }
            var queue = ciommu_hw_queue_alloc()
            queue.size = UInt32(MemoryLayout<ciommu_hw_queue_alloc>.size)
            queue.viommu_id = 999
            kernel.expectErrno(.notSupported, "a queue of no type", descriptor, CIOMMU_HW_QUEUE_ALLOC, &queue)
            queue.type = CIOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV
            queue.length = 4096
            expectErrno(.noSuchFileOrDirectory, "a queue of no virtual IOMMU") {
                try kernel.control(descriptor, CIOMMU_HW_QUEUE_ALLOC, with: &queue)
            }
            var invalidation = ciommu_hwpt_invalidate()
            invalidation.size = UInt32(MemoryLayout<ciommu_hwpt_invalidate>.size)
            invalidation.hwpt_id = table.object.id
            expectErrno(.invalidArgument, "a page table that the kernel keeps") {
                try kernel.control(descriptor, CIOMMU_HWPT_INVALIDATE, with: &invalidation)
            }
            try table.close()
        }
    }

    @Test(
        "the address space of an iommufd that is a container (IOMMU_VFIO_IOAS) [iommufd.vfio_ioas]",
        arguments: Scenario.all)
    func containerSpace(_ scenario: Scenario) throws {
        try withIOMMUFD(scenario) { bench, space, edu in
            let (kernel, context) = (bench.kernel, try space.requireIOMMUFD(for: "test"))
            func ask(_ operation: UInt16, _ ioas: UInt32 = 0) throws(Errno) -> Int {
                var request = ciommu_vfio_ioas()
                request.size = UInt32(MemoryLayout<ciommu_vfio_ioas>.size)
                request.ioas_id = ioas
                request.op = operation
                let result = try kernel.control(context.descriptor, CIOMMU_VFIO_IOAS, with: &request)
                return result == 0 && operation == CIOMMU_VFIO_IOAS_GET ? Int(request.ioas_id) : result
            }
            expectErrno(.operationNotSupportedByDevice, "none yet") { try ask(CIOMMU_VFIO_IOAS_GET) }
            expectErrno(.noSuchFileOrDirectory, "no such one") { try ask(CIOMMU_VFIO_IOAS_SET, 999) }
            expectErrno(.notSupported, "no such operation") { try ask(9) }
            #expect(try ask(CIOMMU_VFIO_IOAS_SET, context.ioas) == 0)
            #expect(try ask(CIOMMU_VFIO_IOAS_GET) == Int(context.ioas))
            #expect(try ask(CIOMMU_VFIO_IOAS_CLEAR) == 0)
            expectErrno(.operationNotSupportedByDevice, "none any more") { try ask(CIOMMU_VFIO_IOAS_GET) }
        }
    }
}
