import Synchronization

@testable import VFIO
@testable import VFIOPassthrough

/// What an iommufd is asked for the IOMMUs of guests and for PASIDs, and in which order it all ends.
@Suite struct GuestIOMMURequestTests {
    private let kernel = ScriptedKernel.machine()
    private let objects = Objects()

    /// The numbers that the kernel has given, and those that it was asked to destroy.
    private final class Objects: Sendable {
        private let state = Mutex((last: 80 as UInt32, destroyed: [] as [UInt32]))

        func next() -> UInt32 {
            state.withLock { state in
                state.last += 1
                return state.last
            }
        }

        func destroy(_ number: UInt32) { state.withLock { $0.destroyed.append(number) } }
        var made: [UInt32] { state.withLock { Array(81..<$0.last + 1) } }
        var destroyed: [UInt32] { state.withLock { $0.destroyed } }
    }

    init() { Self.prepare(kernel, objects) }

    private static func prepare(_ kernel: ScriptedKernel, _ objects: Objects) {
        kernel.accept(CIOMMU_HWPT_ALLOC, ciommu_hwpt_alloc.self) { $0.out_hwpt_id = objects.next() }
        kernel.accept(CIOMMU_VIOMMU_ALLOC, ciommu_viommu_alloc.self) { $0.out_viommu_id = objects.next() }
        kernel.accept(CIOMMU_VDEVICE_ALLOC, ciommu_vdevice_alloc.self) { $0.out_vdevice_id = objects.next() }
        kernel.accept(CIOMMU_HW_QUEUE_ALLOC, ciommu_hw_queue_alloc.self) { $0.out_hw_queue_id = objects.next() }
        kernel.accept(CIOMMU_VEVENTQ_ALLOC, ciommu_veventq_alloc.self) { [unowned kernel] request in
            request.out_veventq_id = objects.next()
            request.out_veventq_fd = UInt32(kernel.makeDescriptor("events").rawValue)
        }
        kernel.accept(CIOMMU_FAULT_QUEUE_ALLOC, ciommu_fault_alloc.self) { [unowned kernel] request in
            request.out_fault_id = objects.next()
            request.out_fault_fd = UInt32(kernel.makeDescriptor("faults").rawValue)
        }
        kernel.accept(CIOMMU_DESTROY, ciommu_destroy.self) { objects.destroy($0.id) }
        kernel.accept(CVFIO_DEVICE_ATTACH_IOMMUFD_PT)
        kernel.accept(CVFIO_DEVICE_DETACH_IOMMUFD_PT)
    }

    // MARK: Queues of the hardware

    private static func queue(_ index: UInt32, of viommu: borrowing VirtualIOMMU) throws(VFIOError) -> HardwareQueue {
        try viommu.makeQueue(.tegra241CMDQV, index: index, at: 0x10_0000, byteCount: 4096)
    }

    @Test func queuesEndFromTheLastToTheFirst() throws {
        let device = try kernel.device()
        let parent = try device.makePageTable(options: .nestingParent)
        let viommu = try device.makeVirtualIOMMU(.tegra241CMDQV, over: parent)
        let first = try Self.queue(0, of: viommu)
        let second = try Self.queue(1, of: viommu)
        let third = try Self.queue(2, of: viommu)
        #expect([first.object.id, second.object.id, third.object.id] == [83, 84, 85])
        discard(second)
        discard(first)
        #expect(objects.destroyed.isEmpty)
        discard(third)
        #expect(objects.destroyed == [85, 84, 83])
        // What has gone is held by nobody, nor does one of a lower index wait for one of a higher.
        let again = try Self.queue(0, of: viommu)
        let beside = try Self.queue(5, of: viommu)
        let between = try Self.queue(3, of: viommu)
        discard(between)
        #expect(objects.destroyed.suffix(1) == [88])
        try closeAll(beside, again)
        #expect(objects.destroyed.suffix(2) == [87, 86])
        try closeAll(viommu, parent)
    }

    @Test func anObjectThatIsGoneIsNotDestroyedAgain() throws {
        let device = try kernel.device()
        let table = try device.makePageTable()
        kernel.answer(CIOMMU_DESTROY, ciommu_destroy.self) { [objects] (request) throws(Errno) in
            objects.destroy(request.id)
            throw .noSuchFileOrDirectory
        }
        #expect(failure(closing: table)?.errno == .noSuchFileOrDirectory)
        #expect(objects.destroyed == [81])
    }

    // MARK: PASIDs

    @Test(arguments: [0 as UInt32, 1 << 20, .max])
    func whatIsNoPASIDIsRefusedBeforeTheKernel(_ pasid: UInt32) throws {
        let device = try kernel.device()
        let table = try device.makePageTable(options: .pasid)
        kernel.expectRefusal(.outOfRange) { try device.attach(to: table, pasid: pasid) }
        kernel.expectRefusal(.outOfRange) { try device.detach(pasid: pasid) }
        try table.close()
    }

    @Test func aRefusedPASIDKeepsItsPageTable() throws {
        let device = try kernel.device()
        let first = try device.makePageTable(options: .pasid)
        let second = try device.makePageTable(options: .pasid)
        try device.attach(to: first, pasid: 1 << 20 - 1)
        discard(first)
        let codes: KeyValuePairs<Errno, VFIOError.Code> = [
            .invalidArgument: .unsupported, .notSupported: .unsupported, .ioError: .kernel,
        ]
        kernel.expectRefusals(of: CVFIO_DEVICE_ATTACH_IOMMUFD_PT, codes) {
            try device.attach(to: second, pasid: 1 << 20 - 1)
        }
        kernel.expectRefusals(of: CVFIO_DEVICE_DETACH_IOMMUFD_PT, codes) { try device.detach(pasid: 1 << 20 - 1) }
        #expect(objects.destroyed.isEmpty)
        kernel.accept(CVFIO_DEVICE_DETACH_IOMMUFD_PT)
        try device.detach(pasid: 1 << 20 - 1)
        #expect(objects.destroyed == [81])
        try second.close()
    }

    @Test func thePageTableOfAPASIDEndsAfterTheDevice() throws {
        let device = try kernel.device()
        let table = try device.makePageTable(options: .pasid)
        try device.attach(to: table, pasid: 1)
        discard(table)
        let wasOpen = Mutex<[Bool]>([])
        kernel.accept(CIOMMU_DESTROY, ciommu_destroy.self) { [unowned kernel] _ in
            wasOpen.withLock { $0.append(kernel.openNames.contains("/dev/vfio/devices/vfio0")) }
        }
        try device.close()
        // The kernel refuses to destroy one that the device is attached to.
        #expect(wasOpen.withLock { $0.first } == false)
    }

    @Test func anAddressSpaceThatADeviceIsAttachedToKnowsTheDevicesRanges() throws {
        let device = try kernel.device()
        let sibling = try device.space.makeSibling()
        let table = try device.makePageTable(of: sibling)
        for range in [0x10_0000...0x1f_ffff, 0x40_0000...0x4f_ffff] as [ClosedRange<UInt64>] {
            kernel.answerRanges([range])
            if range.lowerBound == 0x10_0000 { try device.attach(to: sibling) } else { try device.attach(to: table) }
            let buffer = try sibling.allocate(byteCount: 4096)
            #expect(range.contains(buffer.iova.rawValue), "\(buffer.iova)")
            try buffer.close()
        }
        try device.detach()
        try table.close()
    }

    // MARK: Queues and windows

    @Test func aClosedQueueIsNotReadAgain() throws {
        let device = try kernel.device()
        let table = try device.makePageTable()
        let object = IOMMUFDObject(objects.next(), "the queue", of: device.space, in: table.object.file, holding: [])
        let descriptor = kernel.makeDescriptor("events")
        let source = VirtualEventSource(object, descriptor, .armSMMUv3)
        try source.close()
        // The number may be another file's by now.
        kernel.onRead(of: descriptor) { (_) throws(Errno) in
            Issue.record("it was read")
            return 0
        }
        #expect(try source.take() == nil)
        try table.close()
    }

    @Test func aWindowIsUnmappedOnce() throws {
        let device = try kernel.device()
        let parent = try device.makePageTable(options: .nestingParent)
        let viommu = try device.makeVirtualIOMMU(.armSMMUv3, over: parent)
        func unmaps() -> Int { kernel.calls.count { $0.hasPrefix("munmap") } }
        for isClosed in [true, false] {
            let window = try viommu.map(.init(offset: 4096, byteCount: 4096))
            let before = unmaps()
            if isClosed { try window.close() } else { discard(window) }
            #expect(unmaps() == before + 1)
        }
        try viommu.close()
    }

    // MARK: What is held, and what is refused

    @Test func eachKeepsWhatItNeeds() throws {
        let device = try kernel.device()
        let parent = try device.makePageTable(options: .nestingParent)
        let faults = try device.space.makeFaultQueue()
        let viommu = try device.makeVirtualIOMMU(.tegra241CMDQV, over: parent)
        let nested = try device.makePageTable(in: viommu, .armSMMUv3(0b1011, 0), faults: faults)
        let name = try device.makeVirtualDevice(in: viommu, number: 7)
        discard(parent)
        discard(faults)
        discard(viommu)
        #expect(objects.destroyed.isEmpty)
        discard(nested)
        #expect(objects.destroyed == [84, 82])
        discard(name)
        #expect(objects.destroyed == [84, 82, 85, 83, 81])
    }

    @Test func whatCannotBeIsRefusedBeforeTheKernel() throws {
        let device = try kernel.device()
        let parent = try device.makePageTable(options: .nestingParent)
        let viommu = try device.makeVirtualIOMMU(.tegra241CMDQV, over: parent)
        let strange = try AddressSpace(.iommufd, kernel: kernel).makeFaultQueue()
        kernel.expectRefusal(.invalidArgument) {
            _ = try device.makePageTable(in: viommu, .armSMMUv3(0, 0), faults: strange)
        }
        kernel.expectRefusal(.invalidArgument) {
            _ = try device.makePageTable(in: viommu, .other(type: 9, data: []))
        }
        for byteCount in [0, Int.max] {
            kernel.expectRefusal(.outOfRange) {
                _ = try viommu.makeEventQueue(.other(type: 9, byteCount: byteCount))
            }
        }
        kernel.expectRefusal(.misaligned) { _ = try viommu.map(.init(offset: 4096, byteCount: 100)) }
        kernel.expectRefusal(.misaligned) { _ = try viommu.map(.init(offset: 100, byteCount: 4096)) }
    }

    // MARK: Failures

    /// All that there is of it, and its end.
    private static func run(_ kernel: ScriptedKernel) throws(VFIOError) {
        let device = try kernel.device()
        let parent = try device.makePageTable(options: .nestingParent)
        let faults = try device.space.makeFaultQueue()
        let viommu = try device.makeVirtualIOMMU(.tegra241CMDQV, over: parent)
        let nested = try device.makePageTable(in: viommu, .armSMMUv3(0b1011, 0), options: .pasid, faults: faults)
        let name = try device.makeVirtualDevice(in: viommu, number: 7)
        let events = try viommu.makeEventQueue(.tegra241CMDQV)
        let first = try queue(0, of: viommu)
        let second = try queue(1, of: viommu)
        try device.attach(to: nested)
        try device.attach(to: nested, pasid: 1)
        try device.detach(pasid: 1)
        try device.detach()
        try second.close()
        try first.close()
        try events.close()
        try name.close()
        try nested.close()
        try viommu.close()
        try faults.close()
        try parent.close()
        try device.close()
    }

    @Test func whicheverCallFailsNothingIsLeft() throws {
        for number in 1..<200 {
            let kernel = ScriptedKernel.machine()
            let objects = Objects()
            Self.prepare(kernel, objects)
            kernel.failCall(number, with: .ioError)
            var caught: VFIOError?
            do throws(VFIOError) { try Self.run(kernel) } catch { caught = error }
            #expect(kernel.openNames.isEmpty, "call \(number), \(String(describing: caught))")
            // The address space is not among those that were made.
            let left = Set(objects.made).subtracting(objects.destroyed)
            #expect(left.isEmpty, "call \(number), \(String(describing: caught))")
            #expect(objects.destroyed.count == Set(objects.destroyed).count)
            guard kernel.hasFailed else {
                #expect(number > 25 && caught == nil)
                return
            }
        }
        Issue.record("the calls have no end")
    }
}
