@testable import VFIO
@testable import VFIOPassthrough

/// What an iommufd has for the IOMMUs of virtual machines, on devices that the kernel makes up.
extension Contract.VirtualIOMMUTests {
    private typealias Device = TestDevice

    /// A page table for others to be nested in.
    private func makeParent(_ device: TestDevice) throws(VFIOError) -> HardwarePageTable {
        try device.bound.makePageTable(of: nil, options: .nestingParent, faults: nil)
    }

    private func makeVirtualIOMMU(_ device: TestDevice, over parent: borrowing HardwarePageTable) throws(VFIOError)
        -> VirtualIOMMU
    { try device.bound.makeVirtualIOMMU(.other(type: Device.virtualIOMMU, data: []), over: parent.object) }

    private func makeNested(_ device: TestDevice, in viommu: borrowing VirtualIOMMU) throws(VFIOError)
        -> NestedPageTable
    { try device.bound.makePageTable(in: viommu.object, Device.nested, options: [], faults: nil) }

    // MARK: Nested page tables

    @Test(
        "page tables are nested, attached, and keep the one below [iommufd_ioas.alloc_hwpt_nested]",
        arguments: Scenario.all)
    func nested(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let bound = device.bound
            let parent = try makeParent(device)
            let plain = try bound.makePageTable(of: nil, options: [], faults: nil)
            let below = parent.object
            expectNoNesting(.invalidArgument, .invalidArgument, device, plain.object)
            expectNoNesting(
                .unsupported, .notSupported, device, below, .intelVTD(table: 0, addressWidth: 48, options: []))
            expectNoNesting(.unsupported, .notSupported, device, below, options: .nestingParent)
            expectNoNesting(.invalidArgument, nil, device, below, .other(type: Device.nestedData, data: []))
            let nested = try bound.makePageTable(in: below, Device.nested, options: [], faults: nil)
            let other = try bound.makePageTable(in: below, Device.nested, options: [], faults: nil)
            expectNoNesting(.invalidArgument, .invalidArgument, device, nested.object)
            let (first, second) = (nested.object.id, other.object.id)
            try device.attach(to: first)
            #expect(throws: Errno.resourceBusy) { try bound.file.destroy(first) }
            #expect(throws: Errno.resourceBusy) { try bound.file.destroy(below.id) }
            expectRefusal(.inUse, .resourceBusy, of: nested) { try $0.object.close() }
            // Without its owner, the parent is kept by the ones in it.
            expectRefusal(.inUse, .resourceBusy, of: parent) { try $0.object.close() }
            try device.attach(to: second)
            #expect(throws: Errno.resourceBusy) { try bound.file.destroy(second) }
            try device.attach(to: try space.requireIOMMUFD(for: "test").ioas)
            try other.close()
            #expect(throws: Errno.noSuchFileOrDirectory) { try bound.file.destroy(second) }
            try closeAll(nested, parent, plain)
            try device.destroy()
        }
    }

    private func expectNoNesting(
        _ code: VFIOError.Code, _ errno: Errno?, _ device: TestDevice, _ parent: IOMMUFDObject,
        _ guest: GuestTranslation = Device.nested, options: HardwarePageTable.Options = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        expectRefusal(code, errno, sourceLocation: sourceLocation) {
            _ = try device.bound.makePageTable(in: parent, guest, options: options, faults: nil)
        }
    }

    @Test(
        "what hardware remembers of a nested page table is dropped [iommufd_ioas.alloc_hwpt_nested]",
        arguments: Scenario.all)
    func invalidate(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let parent = try makeParent(device)
            let nested = try device.bound.makePageTable(in: parent.object, Device.nested, options: [], faults: nil)
            let number = nested.object.id
            func entries(_ type: UInt32 = Device.invalidation, _ words: [UInt32]...) -> IOMMUInvalidation {
                .other(type: type, entries: words.map(Device.words))
            }
            for index in 0..<UInt32(4) { #expect(try device.tlb(index, of: number, is: Device.firstTLB)) }
            // Flags, index.
            try nested.invalidate(entries())
            expectFailure(0, .invalidArgument, .invalidArgument, nested, entries(Device.wrongInvalidation, [0, 0]))
            expectFailure(0, .unsupported, .notSupported, nested, entries(Device.invalidation, [.max, 0]))
            expectFailure(1, .unsupported, .notSupported, nested, entries(Device.invalidation, [0, 0], [.max, 1]))
            #expect(try device.tlb(0, of: number, is: 0))
            #expect(try device.tlb(1, of: number, is: Device.firstTLB))
            expectFailure(1, .invalidArgument, .invalidArgument, nested, entries(Device.invalidation, [0, 0], [0, 4]))
            expectFailure(0, .invalidArgument, nil, nested, entries(Device.invalidation, [0, 1], [0]))
            expectFailure(0, .invalidArgument, .invalidArgument, nested, .intelVTD([.all]))
            try nested.invalidate(entries(Device.invalidation, [0, 1], [0, 2]))
            #expect(try device.tlb(2, of: number, is: 0))
            #expect(try device.tlb(3, of: number, is: Device.firstTLB))
            try nested.invalidate(entries(Device.invalidation, [1, 0]))
            #expect(try device.tlb(3, of: number, is: 0))
            try closeAll(nested, parent)
            try device.destroy()
        }
    }

    private func expectFailure(
        _ handled: Int, _ code: VFIOError.Code, _ errno: Errno?, _ table: borrowing NestedPageTable,
        _ entries: IOMMUInvalidation, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(InvalidationFailure) {
            try table.invalidate(entries)
            Issue.record("it was done", sourceLocation: sourceLocation)
        } catch {
            #expect(error.handledCount == handled, "\(error)", sourceLocation: sourceLocation)
            #expect(error.cause.code == code, "\(error)", sourceLocation: sourceLocation)
            #expect(error.cause.errno == errno, "\(error)", sourceLocation: sourceLocation)
        }
    }

    // MARK: Virtual IOMMUs

    @Test(
        "all of it ends in any order [iommufd_viommu.viommu_auto_destroy, iommufd_viommu.viommu_negative_tests]",
        arguments: Scenario.all)
    func ends(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let parent = try makeParent(device)
            let viommu = try makeVirtualIOMMU(device, over: parent)
            let nested = try makeNested(device, in: viommu)
            let name = try device.bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            let queue = try viommu.makeEventQueue(Device.events, depth: 2)
            let numbers = [queue.number, name.object.id, nested.object.id, viommu.object.id, parent.object.id]
            for number in numbers.dropFirst(3) {
                #expect(throws: Errno.resourceBusy) { try device.bound.file.destroy(number) }
            }
            // The owners end from the outside in; each keeps what it needs.
            discard(parent)
            discard(viommu)
            for number in numbers.dropFirst(3) {
                #expect(throws: Errno.resourceBusy) { try device.bound.file.destroy(number) }
            }
            discard(nested)
            try closeAll(name, queue)
            for number in numbers {
                #expect(throws: Errno.noSuchFileOrDirectory) { try device.bound.file.destroy(number) }
            }
            try device.destroy()
        }
    }

    @Test("what is no virtual IOMMU [iommufd_viommu.viommu_negative_tests]", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let parent = try makeParent(device)
            let plain = try device.bound.makePageTable(of: nil, options: [], faults: nil)
            let viommu = try makeVirtualIOMMU(device, over: parent)
            let (below, within) = (parent.object, viommu.object)
            expectRefusal(.invalidArgument, .invalidArgument, of: plain) { _ = try makeVirtualIOMMU(device, over: $0) }
            for kind: VirtualIOMMU.Kind in [.other(type: 0xdead, data: []), .armSMMUv3, .tegra241CMDQV] {
                expectRefusal(.unsupported, .notSupported) { _ = try device.bound.makeVirtualIOMMU(kind, over: below) }
            }
            expectRefusal(.kernel, .noSuchFileOrDirectory) {
                _ = try device.bound.makeVirtualIOMMU(.other(type: Device.virtualIOMMU, data: []), over: within)
            }
            // Of another iommufd, whose numbers mean nothing here.
            let stranger = try bench.makeSpace()
            let far = try TestDevice(in: stranger)
            let farParent = try makeParent(far)
            expectRefusal(.invalidArgument, of: farParent) { _ = try makeVirtualIOMMU(device, over: $0) }
            expectNoNesting(.invalidArgument, nil, far, within)
            expectRefusal(.invalidArgument) { _ = try far.bound.makeVirtualDevice(in: within, number: 1) }
            try farParent.close()
            try far.destroy()
            try closeAll(plain, viommu, parent)
            try device.destroy()
        }
    }

    @Test("what a virtual IOMMU was given comes back [iommufd_viommu.viommu_alloc_with_data]", arguments: Scenario.all)
    func data(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let parent = try makeParent(device)
            let viommu = try device.bound.makeVirtualIOMMU(
                .other(type: Device.virtualIOMMU, data: Device.words([0xbeef, 0, 0, 0, 0, 0])), over: parent.object)
            let answer = RequestBuffer(viommu.answer)
            let (echo, offset, length) = (
                answer.load(UInt32.self, at: 4), answer.load(UInt64.self, at: 8), answer.load(UInt64.self, at: 16)
            )
            #expect(echo == 0xbeef)
            let window = VirtualIOMMU.Window(offset: try #require(offset), byteCount: try #require(length))
            #expect(window.byteCount == 8192)
            for (offset, byteCount) in [(4096, 8192), (8192, 8192), (0, 4096), (0, 16384)] as [(UInt64, UInt64)] {
                expectRefusal(.kernel, .noSuchAddressOrDevice, of: viommu) {
                    _ = try $0.map(.init(offset: window.offset + offset, byteCount: byteCount))
                }
            }
            let mapped = try viommu.map(window)
            #expect(mapped.read32(at: 0) == 0xbeef)
            let number = viommu.object.id
            #expect(throws: Errno.resourceBusy) { try device.bound.file.destroy(number) }
            // The window keeps it.
            discard(viommu)
            #expect(throws: Errno.resourceBusy) { try device.bound.file.destroy(number) }
            try mapped.close()
            #expect(throws: Errno.noSuchFileOrDirectory) { try device.bound.file.destroy(number) }
            try parent.close()
            try device.destroy()
        }
    }

    @Test(
        "a nested page table in a virtual IOMMU, with faults [iommufd_viommu.viommu_alloc_nested_iopf]",
        arguments: Scenario.all)
    func faults(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let bound = device.bound
            let parent = try makeParent(device)
            let viommu = try makeVirtualIOMMU(device, over: parent)
            let queue = try space.makeFaultQueue()
            let (within, faultQueue) = (viommu.object, queue.object)
            expectRefusal(.unsupported, .notSupported) {
                _ = try bound.makePageTable(
                    in: within, Device.nested, options: .init(rawValue: 1 << 31), faults: faultQueue)
            }
            let nested = try bound.makePageTable(in: viommu.object, Device.nested, options: [], faults: queue.object)
            let number = nested.object.id
            #expect(throws: Errno.noSuchFileOrDirectory, "without a name") { try device.attach(to: number) }
            let name = try bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            try device.attach(to: number)
            #expect(throws: Errno.resourceBusy) { try bound.file.destroy(number) }

            try device.requestPage(at: 0xdead_b000, [.read, .write], group: 7)
            #expect(try queue.wait(timeout: .seconds(5)))
            let faults = try queue.faults()
            let fault = try #require(faults.first)
            #expect(faults.count == 1)
            #expect(fault.iova == 0xdead_b000)
            #expect(fault.access == [.read, .write])
            #expect(fault.pasid == nil)
            #expect(fault.isLast)
            #expect(fault.group == 7)
            try queue.respond(to: fault, with: .success)
            expectRefusal(.invalidArgument, .invalidArgument, of: queue) { try $0.respond(to: fault, with: .success) }
            #expect(try queue.faults().isEmpty)
            try device.requestPage(at: 0x1000, .read)
            let second = try #require(try queue.faults().first)
            try queue.respond(to: second, with: .invalid)

            try device.attach(to: try space.requireIOMMUFD(for: "test").ioas)
            try closeAll(name, nested, queue, viommu, parent)
            try device.destroy()
        }
    }

    // MARK: Devices and events

    @Test("a device gets a name, and events under it [iommufd_viommu.vdevice_alloc]", arguments: Scenario.all)
    func events(_ scenario: Scenario) throws {
        try scenario.runWithTestDevice { bench, space, device in
            let bound = device.bound
            let ioas = try space.requireIOMMUFD(for: "test").ioas
            let parent = try makeParent(device)
            let viommu = try makeVirtualIOMMU(device, over: parent)
            let nested = try makeNested(device, in: viommu)
            let (within, number) = (viommu.object, nested.object.id)
            #expect(throws: Errno.noSuchFileOrDirectory) { try device.attach(to: number) }
            for depth in [0, -1, 1 << 19 + 1] {
                expectRefusal(.outOfRange, of: viommu) { _ = try $0.makeEventQueue(Device.events, depth: depth) }
            }
            expectRefusal(.unsupported, .notSupported, of: viommu) {
                _ = try $0.makeEventQueue(.other(type: 0, byteCount: 4))
            }
            let large = try viommu.makeEventQueue(Device.events, depth: 1 << 19)
            try large.close()

            let queue = try viommu.makeEventQueue(Device.events, depth: 2)
            expectRefusal(.busy, .fileExists, of: viommu) { _ = try $0.makeEventQueue(Device.events, depth: 2) }
            #expect(try queue.poll().isEmpty)
            #expect(try queue.wait(timeout: .milliseconds(1)).isEmpty)
            let queueNumber = queue.number
            #expect(throws: Errno.resourceBusy) { try bound.file.destroy(queueNumber) }

            let first = try bound.makeVirtualDevice(in: viommu.object, number: 0x99)
            #expect(first.number == 0x99)
            expectRefusal(.busy, .fileExists) { _ = try bound.makeVirtualDevice(in: within, number: 0x99) }
            expectRefusal(.busy, .fileExists) { _ = try bound.makeVirtualDevice(in: within, number: 0x98) }
            try device.attach(to: nested.object.id)
            try device.raiseEvent()
            let event = VirtualEvent(sequence: 0, content: .other(bytes: Device.words([0x99])))
            #expect(try queue.wait(timeout: .seconds(5)) == [event])
            try device.attach(to: ioas)
            try first.close()

            let second = try bound.makeVirtualDevice(in: viommu.object, number: 0x88)
            try device.attach(to: nested.object.id)
            for _ in 0..<3 { try device.raiseEvent() }
            let named = VirtualEvent.Content.other(bytes: Device.words([0x88]))
            #expect(
                try queue.poll() == [
                    .init(sequence: 1, content: named), .init(sequence: 2, content: named),
                    .init(sequence: 3, content: .lost),
                ])
            // Of two that are lost, one word of it, with the number of the last.
            for _ in 0..<4 { try device.raiseEvent() }
            let lossy = try queue.wait()
            #expect(lossy.map(\.sequence) == [4, 5, 7])
            #expect(lossy.last?.content == .lost)
            try device.raiseEvent()
            #expect(try queue.poll() == [.init(sequence: 8, content: named)])
            try queue.close()
            try device.attach(to: ioas)
            try closeAll(second, nested, viommu, parent)
            try device.destroy()
        }
    }

    @Test("events come as a sequence, which ends with the queue", arguments: Scenario.all)
    func sequence(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        guard scenario.usesIOMMUFD else {
            expectRefusal(.unsupported) { _ = try space.makeSibling() }
            return
        }
        guard bench.machine.makesUpDevices else {
            #expect(try TestDevice.refusal(of: space) == .inappropriateIOCTLForDevice)
            return
        }
        let device = try TestDevice(in: space)
        let parent = try makeParent(device)
        let viommu = try makeVirtualIOMMU(device, over: parent)
        let nested = try makeNested(device, in: viommu)
        let name = try device.bound.makeVirtualDevice(in: viommu.object, number: 0x77)
        try device.attach(to: nested.object.id)
        let queue = try viommu.makeEventQueue(Device.events, depth: 4)
        let events = queue.events
        let first = Task {
            for try await event in events { return event.sequence }
            return .max
        }
        try await Task.sleep(for: .milliseconds(10))
        try device.raiseEvent()
        #expect(try await first.value == 0)

        let cancelled = Task {
            for try await _ in events { return false }
            return true
        }
        try await Task.sleep(for: .milliseconds(10))
        cancelled.cancel()
        #expect(try await cancelled.value)

        // Two at once, one after the other.
        for _ in 0..<2 { try device.raiseEvent() }
        var iterator = events.makeAsyncIterator()
        #expect(try await iterator.next()?.sequence == 1)
        #expect(try await iterator.next()?.sequence == 2)

        // Who stops leaves the others to whoever comes.
        for _ in 0..<2 { try device.raiseEvent() }
        for try await event in events {
            #expect(event.sequence == 3)
            break
        }
        #expect(try queue.poll().map(\.sequence) == [4])

        let last = Task {
            for try await _ in events { return false }
            return true
        }
        try await Task.sleep(for: .milliseconds(10))
        try queue.close()
        #expect(try await last.value)
        #expect(try await iterator.next() == nil)
        try device.attach(to: try space.requireIOMMUFD(for: "test").ioas)
        try closeAll(name, nested, viommu, parent)
        try device.destroy()
    }
}
