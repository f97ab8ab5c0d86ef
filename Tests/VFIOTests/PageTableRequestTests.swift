import Synchronization

@testable import VFIO

/// What an iommufd is asked about page tables and faults that the hardware of no machine here can do.
@Suite struct PageTableRequestTests {
    private let kernel = ScriptedKernel.machine()

    init() {
        kernel.accept(CIOMMU_HWPT_ALLOC, ciommu_hwpt_alloc.self) { $0.out_hwpt_id = 77 }
        kernel.accept(CIOMMU_DESTROY)
    }

    // MARK: Dirty pages

    @Test func dirtyPagesAreAskedForByTheirSize() throws {
        let seen = Notes<UInt64>()
        kernel.accept(CIOMMU_HWPT_GET_DIRTY_BITMAP, ciommu_hwpt_get_dirty_bitmap.self) { seen.add($0.page_size) }
        let table = try kernel.device().makePageTable(options: .dirtyTracking)
        let pages = try table.dirtyPages(from: 0x40_0000, byteCount: 66 << 14, pageSize: 1 << 14)
        #expect(seen.all == [1 << 14])
        #expect(pages.pageCount == 66)
        try table.close()
    }

    // MARK: Attachment

    /// What the device is noted to be attached to: the number of a page table, 0 for an address space.
    private func noted(_ device: borrowing Device) -> UInt32? {
        switch device.core.attachment.withLock({ $0 }) {
        case nil: nil
        case .space: 0
        case .table(let table): table.id
        }
    }

    @Test func whatIsRefusedLeavesTheDeviceWhereItWas() throws {
        let device = try kernel.device()
        let table = try device.makePageTable()
        try device.attach(to: table)
        #expect(noted(device) == 77)
        kernel.refuse(CVFIO_DEVICE_ATTACH_IOMMUFD_PT, with: .addressInUse)
        kernel.refuse(CVFIO_DEVICE_DETACH_IOMMUFD_PT, with: .ioError)
        expectError(errno: .addressInUse, hintContaining: "reserved for this device") {
            try device.attach(to: device.space)
        }
        #expect(noted(device) == 77)
        #expect(throws: VFIOError.self) { try device.detach() }
        #expect(noted(device) == 77)
        kernel.accept(CVFIO_DEVICE_DETACH_IOMMUFD_PT)
        try device.detach()
        #expect(noted(device) == nil)
        kernel.accept(CVFIO_DEVICE_ATTACH_IOMMUFD_PT)
        try device.attach(to: device.space)
        #expect(noted(device) == 0)
        try table.close()
    }

    @Test func aPageTableThatIsInUseIsDestroyedLater() throws {
        let device = try kernel.device()
        let destroyed = Notes<UInt64>()
        kernel.answer(CIOMMU_DESTROY) { (_) throws(Errno) in throw .resourceBusy }
        kernel.accept(CVFIO_DEVICE_DETACH_IOMMUFD_PT)
        let table = try device.makePageTable()
        try device.attach(to: table)
        #expect(failure(closing: table)?.code == .inUse)
        #expect(destroyed.all == [])
        kernel.accept(CIOMMU_DESTROY, ciommu_destroy.self) { destroyed.add(UInt64($0.id)) }
        try device.detach()
        #expect(destroyed.all == [77])
    }

    @Test func aDeviceThatIsClosedLetsItsPageTableGo() throws {
        let destroyed = Notes<UInt64>()
        let device = try kernel.device()
        let space = device.space
        // Holds what there was of the device, but not the device.
        let vector = try device.interrupts(.msi).enable()
        let events = vector.events
        try vector.close()
        do {
            let table = try device.makePageTable()
            try device.attach(to: table)
        }
        kernel.accept(CIOMMU_DESTROY, ciommu_destroy.self) { destroyed.add(UInt64($0.id)) }
        try device.close()
        #expect(destroyed.all == [77])
        withExtendedLifetime((events, space)) {}
    }

    // MARK: Faults

    /// A queue whose descriptor answers as it is told.
    private func queue(_ prepare: (FileDescriptor) -> Void) throws -> FaultQueue {
        let descriptor = kernel.makeDescriptor("faults")
        prepare(descriptor)
        kernel.accept(CIOMMU_FAULT_QUEUE_ALLOC, ciommu_fault_alloc.self) { request in
            request.out_fault_id = 5
            request.out_fault_fd = UInt32(descriptor.rawValue)
        }
        return try AddressSpace(.iommufd, kernel: kernel).makeFaultQueue()
    }

    @Test func aGroupThatIsLongerThanTheRoomIsReadWithMore() throws {
        let size = MemoryLayout<ciommu_hwpt_pgfault>.size
        let queue = try queue {
            kernel.onRead(of: $0) { (bytes) throws(Errno) in
                // As the kernel does with the first group.
                guard bytes.count >= 40 * size else { throw .invalidArgument }
                for index in 0..<40 {
                    var fault = ciommu_hwpt_pgfault()
                    fault.addr = UInt64(index) << 12
                    fault.flags = index == 39 ? CIOMMU_PGFAULT_FLAGS_LAST_PAGE : 0
                    bytes.storeBytes(of: fault, toByteOffset: index * size, as: ciommu_hwpt_pgfault.self)
                }
                return 40 * size
            }
        }
        let faults = try queue.faults()
        #expect(faults.map(\.iova.rawValue) == (0..<40).map { $0 << 12 })
        #expect(faults.filter(\.isLast).map(\.iova) == [0x2_7000])
        try queue.close()
    }

    @Test func aQueueThatRefusesEveryLengthIsAnError() throws {
        let queue = try queue { kernel.onRead(of: $0) { (_) throws(Errno) in throw .invalidArgument } }
        expectError(errno: .invalidArgument) { _ = try queue.faults() }
        try queue.close()
    }

    @Test(arguments: [-1, 1, 41, 16 * 40 + 40]) func aReadThatIsNoNumberOfFaultsIsAnError(_ count: Int) throws {
        let queue = try queue { kernel.onRead(of: $0) { (_) throws(Errno) in count } }
        expectError(.unexpectedAnswer) { _ = try queue.faults() }
        try queue.close()
    }

    @Test func onlyTheLastFaultOfAGroupIsAnswered() throws {
        let queue = try queue { _ in }
        kernel.expectRefusal(.invalidArgument) {
            try queue.respond(to: FaultQueue.Fault(ciommu_hwpt_pgfault()), with: .success)
        }
        try queue.close()
    }
}
