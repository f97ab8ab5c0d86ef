import VFIOPassthrough

/// What an IOMMU with nesting, dirty tracking, PASIDs and page requests does, which the lab's machine has not: by the kernel's
/// source.
@Suite(.timeLimit(.minutes(15)))
struct GuestIOMMUTests {
    private static let address: PCIAddress = "0000:00:02.0"

    private static func machine(_ make: MockIOMMU.Make = .intelVTD) -> MockMachine {
        var iommu = MockIOMMU()
        iommu.make = make
        iommu.nests = true
        iommu.tracksDirtyPages = true
        iommu.pasidBits = 20
        iommu.takesPageRequests = true
        let machine = MockMachine(iommu: iommu)
        machine.plug(EduModel(dmaMask: .max), at: address)
        return machine
    }

    private func open(_ machine: MockMachine) throws -> Device {
        try Device(at: Self.address, in: try AddressSpace(.iommufd, kernel: machine.kernel))
    }

    private static let guest = GuestTranslation.intelVTD(table: 0x4000, addressWidth: 48, options: [])
    /// Valid, and translated by the first stage.
    private static let entry = GuestTranslation.armSMMUv3(0b1011, 0)

    private func expectRefusal<Owner: ~Copyable>(
        _ code: VFIOError.Code, _ errno: Errno? = nil, of owner: borrowing Owner,
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Owner) throws(VFIOError) -> Void
    ) {
        do throws(VFIOError) {
            try body(owner)
            Issue.record("it was not refused", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
            #expect(error.errno == errno, "\(error)", sourceLocation: sourceLocation)
        }
    }

    // MARK: Intel

    @Test func aGuestsPageTableIsAttachedAndInvalidated() throws {
        let machine = Self.machine()
        let device = try open(machine)
        let parent = try device.makePageTable(options: .nestingParent)
        let plain = try device.makePageTable()
        expectRefusal(.invalidArgument, of: device) { (device) throws(VFIOError) in
            try refuseNesting(device, over: plain)
        }
        let nested = try device.makePageTable(over: parent, Self.guest)
        try device.attach(to: nested)
        expectRefusal(.unsupported, .notSupported, of: device) { (device) throws(VFIOError) in
            _ = try device.makePageTable(options: [.nestingParent, .init(rawValue: 1 << 9)])
        }
        try nested.invalidate(.intelVTD([.all, VTDInvalidation(from: 0x1000, pageCount: 2, isLeafOnly: true)]))
        let wrong = [VTDInvalidation(from: 0x2000, pageCount: 1), VTDInvalidation(from: 0x2800, pageCount: 1)]
        do throws(InvalidationFailure) {
            try nested.invalidate(.intelVTD(wrong))
            Issue.record("it was done")
        } catch {
            #expect(error.handledCount == 1)
            #expect(error.cause.errno == .invalidArgument)
            #expect("\(error)".hasSuffix("(1 entries were done)"))
        }
        #expect(
            machine.invalidations == [
                .intelVTD([.all]), .intelVTD([VTDInvalidation(from: 0x1000, pageCount: 2, isLeafOnly: true)]),
                .intelVTD([wrong[0]]),
            ])
        // The device keeps the page table, and that keeps the one below.
        discard(nested)
        discard(parent)
        try closeAll(plain, device)
        #expect(machine.openFiles.isEmpty)
    }

    private func refuseNesting(
        _ device: borrowing Device, over parent: borrowing HardwarePageTable
    ) throws(VFIOError) { _ = try device.makePageTable(over: parent, Self.guest) }

    @Test func dmaGoesThroughTheNestedPageTableAndIsNoted() throws {
        let machine = Self.machine()
        let device = try open(machine)
        try device.config.updateCommand { $0.insert([.busMaster, .memoryDecode]) }
        let buffer = try device.space.allocate(byteCount: 3 * 4096)
        let parent = try device.makePageTable(options: [.nestingParent, .dirtyTracking])
        let nested = try device.makePageTable(over: parent, Self.guest)
        try device.attach(to: nested)
        let start = buffer.iova.rawValue
        func write(_ byteCount: Int, at offset: UInt64) {
            machine.withDevice(EduModel.self, at: Self.address) { (_, bus) in
                _ = bus.write([UInt8](repeating: 7, count: byteCount), to: IOVA(start + offset))
            }
        }
        write(1, at: 0)
        try parent.setDirtyTracking(true)
        #expect(try parent.dirtyPages(from: buffer.iova, byteCount: 3 * 4096).dirtyPageCount == 0)
        write(2, at: 2 * 4096 - 1)
        #expect(buffer.read8(at: 4096 * 2) == 7)
        let kept = try parent.dirtyPages(from: buffer.iova, byteCount: 3 * 4096, keepsMarks: true)
        #expect((0..<3).map { kept.isDirty(page: $0) } == [false, true, true])
        let part = try parent.dirtyPages(from: buffer.iova, byteCount: 2 * 4096)
        #expect(part.dirtyPageCount == 1)
        let rest = try parent.dirtyPages(from: buffer.iova, byteCount: 3 * 4096)
        #expect((0..<3).map { rest.isDirty(page: $0) } == [false, false, true])
        try device.detach()
        try closeAll(nested, parent, buffer, device)
    }

    @Test func theDataOfOneTypeAreAskedFor() throws {
        for (make, own) in [(.intelVTD, .intelVTD), (.armSMMUv3, .armSMMUv3)]
            as [(MockIOMMU.Make, IOMMUHardware.DataType)]
        {
            let device = try open(Self.machine(make))
            let hardware = try device.iommuHardware()
            #expect(try device.iommuHardware(own) == hardware)
            #expect(try device.iommuHardware(.init(rawValue: 0)) == hardware)
            for type in [.intelVTD, .armSMMUv3, .tegra241CMDQV, .amd] as [IOMMUHardware.DataType] where type != own {
                expectRefusal(.unsupported, .notSupported, of: device) { (device) throws(VFIOError) in
                    _ = try device.iommuHardware(type)
                }
            }
            try device.close()
        }
    }

    // MARK: Arm

    @Test func aGuestsDeviceHasEventsUnderItsName() async throws {
        let machine = Self.machine(.armSMMUv3)
        let device = try open(machine)
        guard case .armSMMUv3 = try device.iommuHardware().kind else { throw Errno.invalidArgument }
        let parent = try device.makePageTable(options: .nestingParent)
        expectRefusal(.unsupported, .notSupported, of: device) { (device) throws(VFIOError) in
            try refuseNesting(device, over: parent)
        }
        let viommu = try device.makeVirtualIOMMU(.armSMMUv3, over: parent)
        let nested = try device.makePageTable(in: viommu, Self.entry)
        expectRefusal(.kernel, .noSuchFileOrDirectory, of: nested) { (nested) throws(VFIOError) in
            try attach(device, nested)
        }
        let name = try device.makeVirtualDevice(in: viommu, number: 0x42)
        try device.attach(to: nested)
        #expect(!machine.reportEvent([0x10, 1, 2, 3], about: Self.address))
        let queue = try viommu.makeEventQueue(.armSMMUv3, depth: 2)
        #expect(try queue.poll().isEmpty)
        #expect(try queue.wait(timeout: .zero).isEmpty)
        for word in 1...4 as ClosedRange<UInt64> {
            #expect(machine.reportEvent([0x10 | 0x7777 << 32, word, 0, 0], about: Self.address))
        }
        let events = try queue.wait()
        #expect(events.map(\.sequence) == [0, 1, 3])
        #expect(
            events.map(\.content) == [
                .armSMMUv3(record: [0x42_0000_0010, 1, 0, 0]), .armSMMUv3(record: [0x42_0000_0010, 2, 0, 0]), .lost,
            ])

        // As a sequence, which waits for it.
        let sequence = queue.events
        let first = Task {
            for try await event in sequence { return event.sequence }
            return .max
        }
        try await Task.sleep(for: .milliseconds(5))
        machine.reportEvent([0x10, 0, 0, 0], about: Self.address)
        #expect(try await first.value == 4)
        // Who stops leaves the others to whoever comes.
        for _ in 0..<2 { machine.reportEvent([0x10, 0, 0, 0], about: Self.address) }
        for try await event in sequence {
            #expect(event.sequence == 5)
            break
        }
        #expect(try queue.poll().map(\.sequence) == [6])
        let cancelled = Task {
            for try await _ in sequence { return false }
            return true
        }
        try await Task.sleep(for: .milliseconds(5))
        cancelled.cancel()
        #expect(try await cancelled.value)
        let last = Task {
            for try await _ in sequence { return false }
            return true
        }
        try await Task.sleep(for: .milliseconds(5))
        try queue.close()
        #expect(try await last.value)

        let known = SMMUCommand(0x05 | 0x42 << 32, 0)
        do throws(InvalidationFailure) {
            try viommu.invalidate(.armSMMUv3([SMMUCommand(0x30, 0), known, SMMUCommand(0x05 | 0x43 << 32, 0)]))
            Issue.record("it was done")
        } catch {
            #expect(error.handledCount == 2)
            #expect(error.cause.errno == .ioError)
        }
        #expect(machine.invalidations == [.armSMMUv3([SMMUCommand(0x30, 0)]), .armSMMUv3([known])])
        try device.detach()
        try nested.close()
        try expectDeviceInUse(device)
        try closeAll(name, viommu, parent)
    }

    private func attach(_ device: borrowing Device, _ table: borrowing NestedPageTable) throws(VFIOError) {
        try device.attach(to: table)
    }

    /// The name keeps the device open.
    private func expectDeviceInUse(_ device: consuming Device) throws {
        do throws(VFIOError) {
            try device.close()
            Issue.record("it was closed")
        } catch {
            #expect(error.code == .inUse)
            #expect(error.hint?.contains("vDEVICE") == true)
        }
    }

    // MARK: PASIDs and faults

    @Test func aPageTableLivesWhileAPASIDIsAttachedToIt() throws {
        let machine = Self.machine()
        let device = try open(machine)
        #expect(try device.iommuHardware().pasidBits == 20)
        let base = try device.makePageTable(options: .pasid)
        let first = try device.makePageTable(options: .pasid)
        // The device itself has to be at one for PASIDs.
        expectRefusal(.unsupported, .invalidArgument, of: first) { (first) throws(VFIOError) in
            try attach(device, first, pasid: 5)
        }
        try device.attach(to: base)
        try device.attach(to: first, pasid: 5)
        machine.recordsCalls = true
        // IOMMU_DESTROY, each of which has to succeed: one too early would be one too many.
        func destroyed() -> Int { machine.calls.count { $0.request == 0x3b80 } }
        discard(first)
        #expect(destroyed() == 0)
        // Replaced, it has nobody any more.
        let second = try device.makePageTable(options: .pasid)
        try device.attach(to: second, pasid: 5)
        #expect(destroyed() == 1)
        discard(second)
        #expect(destroyed() == 1)
        try device.detach(pasid: 5)
        #expect(destroyed() == 2)
        try device.detach(pasid: 5)
        // One that is attached to the end goes with the device.
        let third = try device.makePageTable(options: .pasid)
        try device.attach(to: third, pasid: 6)
        discard(third)
        #expect(destroyed() == 2)
        discard(base)
        try device.close()
        #expect(destroyed() >= 4)
        #expect(machine.openFiles.isEmpty)
    }

    private func attach(
        _ device: borrowing Device, _ table: borrowing HardwarePageTable, pasid: UInt32
    ) throws(VFIOError) { try device.attach(to: table, pasid: pasid) }

    @Test func aDeviceIsToldOfItsPages() throws {
        let machine = Self.machine()
        let device = try open(machine)
        #expect(machine.requestPage(at: 0x1000, .read, by: Self.address) == nil)
        let queue = try device.space.makeFaultQueue()
        let table = try device.makePageTable(options: .pasid, faults: queue)
        let other = try device.makePageTable(options: .pasid, faults: queue)
        try device.attach(to: table)
        try device.attach(to: other, pasid: 9)
        #expect(try queue.wait(timeout: .zero) == false)
        let first = try #require(machine.requestPage(at: 0x1000, .read, by: Self.address))
        let second = try #require(machine.requestPage(at: 0x2000, [.read, .write], pasid: 9, by: Self.address))
        let third = try #require(machine.requestPage(at: 0x3000, .read, pasid: 9, by: Self.address))
        #expect(try queue.wait())
        let faults = try queue.faults()
        #expect(faults.map(\.iova) == [0x1000, 0x2000, 0x3000])
        #expect(faults.map(\.pasid) == [nil, 9, 9])
        #expect(try queue.wait(timeout: .zero) == false)
        #expect(machine.pageResponse(to: first) == nil)
        try queue.respond(to: faults[0], with: .success)
        #expect(machine.pageResponse(to: first) == .success)
        expectRefusal(.invalidArgument, .invalidArgument, of: queue) { (queue) throws(VFIOError) in
            try queue.respond(to: faults[0], with: .success)
        }
        try queue.respond(to: faults[2], with: .invalid)
        #expect(machine.pageResponse(to: third) == .invalid)
        // The kernel refuses what nobody has answered.
        try device.detach(pasid: 9)
        #expect(machine.pageResponse(to: second) == .invalid)
        try device.detach()
        try closeAll(other, table, queue, device)
        #expect(machine.openFiles.isEmpty)
    }
}
