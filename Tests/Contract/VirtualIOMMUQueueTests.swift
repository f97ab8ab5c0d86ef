@testable import VFIO
@testable import VFIOPassthrough

/// What the devices and queues of a virtual IOMMU hold, and what is held by them.
extension Contract.VirtualIOMMUQueueTests {
    private func withVirtualIOMMU(
        _ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (AddressSpace, TestDevice, borrowing VirtualIOMMU) throws -> Void
    ) throws {
        try scenario.runWithTestDevice(sourceLocation: sourceLocation) { bench, space, device in
            let parent = try device.bound.makePageTable(of: nil, options: .nestingParent, faults: nil)
            let viommu = try device.bound.makeVirtualIOMMU(
                .other(type: TestDevice.virtualIOMMU, data: []), over: parent.object)
            try body(space, device, viommu)
            try closeAll(viommu, parent)
        }
    }

    @Test("what hardware remembers for a device is dropped [iommufd_viommu.vdevice_cache]", arguments: Scenario.all)
    func cache(_ scenario: Scenario) throws {
        try withVirtualIOMMU(scenario) { space, device, viommu in
            let name = try device.bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            func expect(_ values: [UInt32], sourceLocation: SourceLocation = #_sourceLocation) throws {
                for (index, value) in values.enumerated() {
                    #expect(try device.cache(UInt32(index), is: value), sourceLocation: sourceLocation)
                }
            }
            let full = TestDevice.firstCache
            try expect([full, full, full, full])
            // Flags, device, entry.
            try invalidate(viommu, [])
            expectFailure(0, .invalidArgument, viommu, [[0, 0x99, 0]], type: TestDevice.wrongInvalidation)
            expectFailure(0, .argListTooLong, viommu, [[0, 0x99, 0, 1]])
            expectFailure(0, .invalidArgument, viommu, [[0]])
            expectFailure(0, .notSupported, viommu, [[.max, 0x99, 0]])
            expectFailure(0, .invalidArgument, viommu, [[0, 0x99, 4]])
            expectFailure(0, .invalidArgument, viommu, [[0, 0x9, 0]])
            try expect([full, full, full, full])
            expectFailure(1, .notSupported, viommu, [[0, 0x99, 0], [.max, 0x99, 1]])
            try expect([0, full, full, full])
            expectFailure(1, .invalidArgument, viommu, [[0, 0x99, 0], [0, 0x99, 4]])
            try expect([0, full, full, full])
            try invalidate(viommu, [[0, 0x99, 1]])
            try expect([0, 0, full, full])
            try invalidate(viommu, [[0, 0x99, 2], [0, 0x99, 3]])
            try expect([0, 0, 0, 0])
            try invalidate(viommu, [[1, 0x99, 0]])
            try expect([0, 0, 0, 0])
            try name.close()
            // Its name is gone.
            expectFailure(0, .invalidArgument, viommu, [[0, 0x99, 0]])
            try device.destroy()
        }
    }

    private func invalidate(
        _ viommu: borrowing VirtualIOMMU, _ entries: [[UInt32]], type: UInt32 = TestDevice.invalidation
    ) throws(InvalidationFailure) { try viommu.invalidate(.other(type: type, entries: entries.map(TestDevice.words))) }

    private func expectFailure(
        _ handled: Int, _ errno: Errno, _ viommu: borrowing VirtualIOMMU, _ entries: [[UInt32]],
        type: UInt32 = TestDevice.invalidation, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(InvalidationFailure) {
            try invalidate(viommu, entries, type: type)
            Issue.record("it was done", sourceLocation: sourceLocation)
        } catch {
            #expect(error.handledCount == handled, "\(error)", sourceLocation: sourceLocation)
            #expect(error.cause.errno == errno, "\(error)", sourceLocation: sourceLocation)
        }
    }

    @Test("queues in a guest's memory pin it [iommufd_viommu.hw_queue]", arguments: Scenario.all)
    func queue(_ scenario: Scenario) throws {
        try withVirtualIOMMU(scenario) { space, device, viommu in
            let iova = TestDevice.firstIOVA
            expectNoQueue(.unsupported, .notSupported, viommu, .other(type: 0), 0, iova, 4096)
            expectNoQueue(.unsupported, .notSupported, viommu, .tegra241CMDQV, 0, iova, 4096)
            expectNoQueue(.outOfRange, nil, viommu, TestDevice.queue, 0, iova, 0)
            expectNoQueue(.outOfRange, nil, viommu, TestDevice.queue, 0, IOVA(.max), 4096)
            expectNoQueue(.kernel, .noSuchFileOrDirectory, viommu, TestDevice.queue, 0, iova, 4096)
            let memory = try space.allocate(byteCount: 4096, placement: .fixed(iova))
            let beside = try space.allocate(byteCount: 4096, placement: .fixed(IOVA(iova.rawValue + 4096)))
            expectNoQueue(.kernel, .ioError, viommu, TestDevice.queue, 1, iova, 4096)
            expectNoQueue(.kernel, .invalidArgument, viommu, TestDevice.queue, 2, iova, 4096)
            let first = try viommu.makeQueue(TestDevice.queue, index: 0, at: iova, byteCount: 4096)
            expectNoQueue(.busy, .fileExists, viommu, TestDevice.queue, 0, iova, 4096)
            let context = try space.requireIOMMUFD(for: "test")
            #expect(throws: Errno.resourceBusy) { try context.unmap(iova.rawValue, byteCount: 4096) }
            try beside.close()
            let half = IOVA(iova.rawValue + 2048)
            let second = try viommu.makeQueue(TestDevice.queue, index: 1, at: half, byteCount: 2048)
            // The second depends on it.
            let number = first.object.id
            #expect(throws: Errno.resourceBusy) { try context.file.destroy(number) }
            // So it waits for that one, without its owner.
            discard(first)
            #expect(throws: Errno.resourceBusy) { try context.file.destroy(number) }
            try second.close()
            #expect(throws: Errno.noSuchFileOrDirectory) { try context.file.destroy(number) }
            try memory.close()
            try device.destroy()
        }
    }

    private func discard(_ queue: consuming HardwareQueue) {}

    private func expectNoQueue(
        _ code: VFIOError.Code, _ errno: Errno?, _ viommu: borrowing VirtualIOMMU, _ kind: HardwareQueue.Kind,
        _ index: UInt32, _ iova: IOVA, _ byteCount: UInt64, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(VFIOError) {
            _ = try viommu.makeQueue(kind, index: index, at: iova, byteCount: byteCount)
            Issue.record("it was made", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
            #expect(error.errno == errno, "\(error)", sourceLocation: sourceLocation)
        }
    }

    @Test("a name ends with the device [iommufd_viommu.vdevice_tombstone]", arguments: Scenario.all)
    func tombstone(_ scenario: Scenario) throws {
        try withVirtualIOMMU(scenario) { space, device, viommu in
            let name = try device.bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            let number = name.object.id
            try device.destroy()
            #expect(throws: Errno.noSuchFileOrDirectory) { try device.bound.file.destroy(number) }
            // The number does not come back: an owner that is late ends nothing of anybody else's.
            let later = try TestDevice(in: space)
            let other = try later.bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            #expect(other.object.id != number)
            closeLate(name)
            try other.close()
            try later.destroy()
        }
    }

    private func closeLate(_ name: consuming VirtualDevice, sourceLocation: SourceLocation = #_sourceLocation) {
        do throws(VFIOError) {
            try name.close()
            Issue.record("it was there", sourceLocation: sourceLocation)
        } catch { #expect(error.errno == .noSuchFileOrDirectory, sourceLocation: sourceLocation) }
    }
}
