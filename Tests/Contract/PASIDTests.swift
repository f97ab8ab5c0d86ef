@testable import VFIO
@testable import VFIOPassthrough

/// Page tables for the PASIDs of a device, on devices that the kernel makes up.
extension Contract.PASIDTests {
    private func makeTable(_ device: TestDevice, _ options: HardwarePageTable.Options) throws(VFIOError)
        -> HardwarePageTable
    { try device.bound.makePageTable(of: nil, options: options, faults: nil) }

    private func makeNested(_ device: TestDevice, over parent: borrowing HardwarePageTable) throws(VFIOError)
        -> NestedPageTable
    { try device.bound.makePageTable(in: parent.object, TestDevice.nested, options: .pasid, faults: nil) }

    @Test(
        "page tables are attached to a PASID, replaced and detached [iommufd_device_pasid.pasid_attach]",
        arguments: Scenario.all)
    func attach(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice(.pasid) { bench, space, device in
            let file = device.bound.file
            let ioas = try space.requireIOMMUFD(for: "test").ioas
            try device.detach(100)
            let parent = try makeTable(device, .nestingParent)
            let below = parent.object.id
            let nested = try makeNested(device, over: parent)
            let other = try makeNested(device, over: parent)
            let (first, second) = (nested.object.id, other.object.id)
            let table = try makeTable(device, .pasid)
            let plain = table.object.id

            // The device itself has to be at one for PASIDs, while any of its PASIDs is attached.
            try device.attach(to: below)
            #expect(throws: Errno.invalidArgument) { try device.attach(100, to: plain) }
            try device.attach(to: plain)
            try device.attach(100, to: first)
            #expect(throws: Errno.invalidArgument) { try device.attach(to: below) }
            #expect(throws: Errno.resourceBusy) { try file.destroy(first) }
            try device.detach(100)
            #expect(try device.pasid(100, isAt: 0))

            #expect(throws: Errno.invalidArgument, "not made for PASIDs") { try device.attach(100, to: below) }
            #expect(throws: Errno.invalidArgument, "an address space") { try device.attach(100, to: ioas) }
            try device.attach(100, to: plain)
            #expect(try device.pasid(100, isAt: plain))
            #expect(throws: Errno.resourceBusy, "it is attached") { try device.attach(100, to: first) }
            try device.detach(100)

            #expect(throws: Errno.invalidArgument, "nothing to replace") { try device.replace(200, by: plain) }
            try device.attach(200, to: plain)
            #expect(throws: Errno.invalidArgument, "an address space") { try device.replace(200, by: ioas) }
            #expect(try device.pasid(200, isAt: plain))
            try device.replace(200, by: first)
            #expect(try device.pasid(200, isAt: first))
            try device.replace(200, by: second)
            #expect(try device.pasid(200, isAt: second))
            #expect(throws: Errno.resourceBusy) { try file.destroy(second) }
            try device.detach(200)

            // A driver that fails leaves it where it was.
            try device.attach(1024, to: plain)
            #expect(throws: Errno.noMemory) { try device.replace(1024, by: first) }
            #expect(try device.pasid(1024, isAt: plain))
            try device.detach(1024)

            // One without PASIDs can use the page tables, and no PASID.
            let lacking = try TestDevice(in: space)
            try lacking.attach(to: plain)
            #expect(throws: Errno.invalidArgument) { try lacking.attach(100, to: plain) }
            try lacking.destroy()
            try device.attach(to: ioas)
            try closeAll(nested, other, table, parent)
            try device.destroy()
        }
    }

    @Test("a fault of a PASID tells which [iommufd_device_pasid.pasid_attach]", arguments: Scenario.all)
    func faults(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice(.pasid) { bench, space, device in
            let parent = try makeTable(device, .nestingParent)
            let queue = try space.makeFaultQueue()
            let base = try makeTable(device, .pasid)
            try device.attach(to: base.object.id)
            let nested = try device.bound.makePageTable(
                in: parent.object, TestDevice.nested, options: .pasid, faults: queue.object)
            try device.attach(2048, to: nested.object.id)
            try device.requestPage(at: 0x1234_5000, .write, pasid: 2048, group: 3)
            let fault = try #require(try queue.faults().first)
            #expect(fault.pasid == 2048)
            #expect(fault.iova == 0x1234_5000)
            #expect(fault.access == .write)
            try queue.respond(to: fault, with: .success)
            // One that nobody has answered is answered by the kernel when the page table goes.
            try device.requestPage(at: 0x1234_6000, .read, pasid: 2048)
            try device.replace(2048, by: base.object.id)
            #expect(try queue.faults().isEmpty)
            try device.detach(2048)
            try device.attach(to: try space.requireIOMMUFD(for: "test").ioas)
            try closeAll(nested, queue, base, parent)
            try device.destroy()
        }
    }

    @Test("dirty pages by PASID [iommufd_dirty_tracking.pasid_set_dirty_tracking]", arguments: Scenario.all)
    func dirtyPages(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice(.pasid) { bench, space, device in
            let table = try makeTable(device, [.pasid, .dirtyTracking])
            let number = table.object.id
            try device.attach(to: number)
            try device.attach(100, to: number)
            try table.setDirtyTracking(true)
            try table.setDirtyTracking(false)
            try device.detach(100)
            try device.attach(to: try space.requireIOMMUFD(for: "test").ioas)
            let lacking = try TestDevice(in: space, [.pasid, .noDirtyTracking])
            #expect(throws: Errno.invalidArgument) { try lacking.attach(100, to: number) }
            try lacking.destroy()
            try table.close()
            try device.destroy()
        }
    }
}
