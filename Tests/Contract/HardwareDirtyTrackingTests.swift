@testable import VFIO

/// Dirty pages as the IOMMU notes them, on devices that the kernel makes up.
extension Contract.HardwareDirtyTrackingTests {
    private func makeTable(_ device: TestDevice, _ options: HardwarePageTable.Options = .dirtyTracking)
        throws(VFIOError) -> HardwarePageTable
    { try device.bound.makePageTable(of: nil, options: options, faults: nil) }

    @Test(
        "devices without dirty tracking do not join those with [iommufd_dirty_tracking.enforce_dirty, iommufd_dirty_tracking.set_dirty_tracking, iommufd_dirty_tracking.device_dirty_capability]",
        arguments: Scenario.all)
    func capability(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            #expect(try device.bound.hardware().capabilities.contains(.dirtyTracking))
            let table = try makeTable(device)
            let number = table.object.id
            let joining = try TestDevice(in: space, at: number)
            try table.setDirtyTracking(true)
            try table.setDirtyTracking(false)
            try joining.destroy()
            #expect(throws: Errno.invalidArgument) { _ = try TestDevice(in: space, .noDirtyTracking, at: number) }
            let lacking = try TestDevice(in: space, .noDirtyTracking)
            #expect(try !lacking.bound.hardware().capabilities.contains(.dirtyTracking))
            expectRefusal(.unsupported, .notSupported) { _ = try makeTable(lacking) }
            let plain = try makeTable(lacking, [])
            expectRefusal(.unsupported, .notSupported, of: plain) { try $0.setDirtyTracking(true) }
            try plain.close()
            try lacking.destroy()
            try table.close()
            try device.destroy()
        }
    }

    @Test(
        "what the hardware is, of a make that the library has no word for [iommufd_ioas.get_hw_info]",
        arguments: Scenario.all)
    func hardware(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice(.pasid) { bench, space, device in
            let hardware = try device.bound.hardware()
            #expect(hardware.kind == .other(type: 0xfeed_beef, bytes: TestDevice.words([0, 0xdead_beef])))
            #expect(hardware.pasidBits == 20)
            try device.destroy()
        }
    }

    @Test(
        "pages that are written are noted, and told once [iommufd_dirty_tracking.get_dirty_bitmap, iommufd_dirty_tracking.get_dirty_bitmap_no_clear]",
        arguments: Scenario.all)
    func bitmap(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let start = TestDevice.firstIOVA
            let byteCount: UInt64 = 130 * 4096
            // One page again and again: pages that lie side by side in memory would be noted together.
            let memory = try space.allocate(byteCount: 4096, placement: .fixed(0x2000_0000))
            let context = try space.requireIOMMUFD(for: "test")
            for page in 0..<UInt64(130) {
                let bytes = UnsafeRawBufferPointer(start: memory.unsafeBaseAddress, count: 4096)
                try context.map(bytes, at: start.rawValue + page * 4096, access: .readWrite)
            }
            let table = try makeTable(device)
            let number = table.object.id
            // While nothing is tracked, nothing is dirty.
            #expect(try table.dirtyPages(from: start, byteCount: byteCount).dirtyPageCount == 0)
            try table.setDirtyTracking(true)
            #expect(try table.dirtyPages(from: start, byteCount: byteCount).dirtyPageCount == 0)

            // The first, the last, and some across a word.
            let pages: [UInt64] = [1 | 3 << 62, 1, 1 << 1]
            let dirty: [Int] = [0, 62, 63, 64, 129]
            func write() throws { try device.write(number, at: start, byteCount: byteCount, pageSize: 4096, pages) }
            try write()
            for _ in 0..<2 {
                let kept = try table.dirtyPages(from: start, byteCount: byteCount, keepsMarks: true)
                #expect((0..<130).filter { kept.isDirty(page: $0) } == dirty)
            }
            let told = try table.dirtyPages(from: start, byteCount: byteCount)
            #expect((0..<130).filter { told.isDirty(page: $0) } == dirty)
            #expect(told.dirtyRanges.count == 3)
            #expect(try table.dirtyPages(from: start, byteCount: byteCount).dirtyPageCount == 0)

            // Coarser, and of a part only.
            try write()
            let coarse = try table.dirtyPages(from: start, byteCount: 128 * 4096, pageSize: 8192)
            #expect((0..<64).filter { coarse.isDirty(page: $0) } == [0, 31, 32])
            let rest = try table.dirtyPages(from: start, byteCount: byteCount)
            #expect((0..<130).filter { rest.isDirty(page: $0) } == [129])

            // What was noted before does not come back.
            try write()
            try table.setDirtyTracking(false)
            try table.setDirtyTracking(true)
            #expect(try table.dirtyPages(from: start, byteCount: byteCount).dirtyPageCount == 0)
            // Nor is anything where nothing is mapped.
            let beyond = IOVA(start.rawValue + byteCount)
            #expect(try table.dirtyPages(from: beyond, byteCount: 4096).dirtyPageCount == 0)
            #expect(try context.unmap(start.rawValue, byteCount: byteCount) == byteCount)
            try closeAll(table, memory)
            try device.destroy()
        }
    }
}
