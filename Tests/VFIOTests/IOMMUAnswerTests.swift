@testable import VFIO
@testable import VFIOPassthrough

/// What the library makes of odd answers about IOMMUs.
@Suite struct IOMMUAnswerTests {
    // MARK: A container's properties

    /// What is made of an answer to `VFIO_IOMMU_GET_INFO` with one capability.
    private func info(
        _ id: UInt16, _ content: [UInt32] = [], pageSizes: UInt64? = 0x4020_1000, pageSize: Int = 4096
    ) throws -> Type1Info {
        kernel.answerType1Info(pageSizes: pageSizes) { Bytes(capability: id, content) }
        return try Type1Info(
            ABI.getType1Info().perform(
                on: BorrowedDescriptor(kernel.makeDescriptor("container"), of: kernel), operation: "ask",
                Type1Info.subject), pageSize: pageSize)
    }

    @Test func propertiesAreRead() throws {
        let info = try info(CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, [17])
        #expect(info.availableMappings == 17)
        #expect(info.pageSizes == [0x1000, 0x20_0000, 0x4000_0000])
        #expect(info.dirtyTracking == nil)
        #expect(info.iovaRanges.isEmpty)
    }

    @Test func withoutPageSizesTheProcessorsCount() throws {
        #expect(try info(77, pageSizes: nil, pageSize: 16384).pageSizes == [16384])
        #expect(try info(77, pageSizes: 0).pageSizes.isEmpty)
    }

    @Test(arguments: [
        (CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, []), (CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, [0, 0]),
        (CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, []),
    ]) func aCapabilityThatIsCutShortIsAnError(_ id: UInt16, _ content: [UInt32]) {
        expectError(.unexpectedAnswer) { _ = try info(id, content) }
    }

    // MARK: Bitmaps

    @Test func dirtyRangesAreApartAndReachTheEndOfTheSpace() {
        let bitmap = DirtyBitmap(IOVA(~0x3fff), byteCount: 4 * 4096, pageSize: 4096, words: [0b1101])
        #expect(bitmap.dirtyRanges == [IOVA(~0x3fff)...IOVA(~0x3000), IOVA(~0x1fff)...IOVA(.max)])
        #expect(bitmap.isDirty(page: 0))
        #expect(!bitmap.isDirty(page: 1))
    }

    // MARK: Hardware

    @Test func hardwareIsReadAsItsTypeSays() {
        let data = RequestBuffer(byteCount: 256)
        data.store(UInt64(0x11), at: 8)
        data.store(UInt64(0x22), at: 16)
        func kind(_ type: UInt32, _ byteCount: Int) -> IOMMUHardware.Kind {
            IOMMUHardware((type, 5, 20, Array(data.content.prefix(byteCount)))).kind
        }
        #expect(kind(0, 0) == .unknown)
        #expect(kind(1, 24) == .intelVTD(capability: 0x11, extendedCapability: 0x22, flags: 0))
        #expect(kind(4, 16) == .amd(features: 0, features2: 0x11))
        guard case .armSMMUv3(let identification, _, _, _) = kind(2, 40) else {
            Issue.record("no SMMU")
            return
        }
        #expect(identification == [0x11, 0, 0x22, 0, 0, 0])
        // Shorter than the structure, longer than the room, or of a type that nobody knows.
        #expect(kind(1, 8) == .other(type: 1, bytes: [UInt8](repeating: 0, count: 8)))
        if case .other(9, let bytes) = kind(9, .max) { #expect(bytes.count == 256) } else { Issue.record("not other") }
        let hardware = IOMMUHardware((0, 5, 20, []))
        #expect(hardware.capabilities == [.dirtyTracking, .pasidPrivilege])
        #expect(hardware.pasidBits == 20)
    }

    @Test func aFaultIsReadAsTheKernelWritesIt() {
        var raw = ciommu_hwpt_pgfault()
        raw.flags = CIOMMU_PGFAULT_FLAGS_PASID_VALID | CIOMMU_PGFAULT_FLAGS_LAST_PAGE
        raw.pasid = 7
        raw.grpid = 3
        raw.perm = CIOMMU_PGFAULT_PERM_READ | CIOMMU_PGFAULT_PERM_WRITE
        raw.addr = 0x5000
        raw.length = 8192
        let fault = FaultQueue.Fault(raw)
        #expect(fault.iova == 0x5000)
        #expect(fault.access == [.read, .write])
        #expect(fault.pasid == 7)
        #expect(fault.isLast)
        #expect(fault.group == 3)
        #expect(fault.byteCount == 8192)
        raw.flags = 0
        #expect(FaultQueue.Fault(raw).pasid == nil)
        #expect(!FaultQueue.Fault(raw).isLast)
    }

    // MARK: Events of guests

    private func buffer(_ words: [UInt32]) -> RequestBuffer {
        let buffer = RequestBuffer(byteCount: words.count * 4)
        for (index, word) in words.enumerated() { buffer.store(word, at: index * 4) }
        return buffer
    }

    @Test func eventsAreReadAsTheirKindSays() {
        let smmu = buffer([0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 1, 9])
        #expect(
            VirtualEvent.events(in: smmu, byteCount: 48, .armSMMUv3) == [
                .init(
                    sequence: 7,
                    content: .armSMMUv3(record: [0x2_0000_0001, 0x4_0000_0003, 0x6_0000_0005, 0x8_0000_0007])),
                .init(sequence: 9, content: .lost),
            ])
        let tegra = buffer([0, 0, 1, 0, 0, 1])
        #expect(
            VirtualEvent.events(in: tegra, byteCount: 24, .tegra241CMDQV) == [
                .init(sequence: 0, content: .tegra241CMDQV(errors: [1, 1 << 32]))
            ])
        let other = buffer([0, 3, 0x0403_0201])
        #expect(
            VirtualEvent.events(in: other, byteCount: 12, .other(type: 9, byteCount: 4)) == [
                .init(sequence: 3, content: .other(bytes: [1, 2, 3, 4]))
            ])
        #expect(VirtualEvent.events(in: other, byteCount: 0, .armSMMUv3) == [])
    }

    @Test(arguments: [-1, 4, 12, 20, 44, 52, 1 << 40])
    func eventsThatAreCutShortAreNone(_ byteCount: Int) {
        let smmu = buffer([0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9])
        #expect(VirtualEvent.events(in: smmu, byteCount: byteCount, .armSMMUv3) == nil)
    }

    // MARK: What guests are given

    @Test func guestsPageTablesAreWrittenAsTheKernelReadsThem() {
        let intel = GuestTranslation.intelVTD(
            table: 0x1000, addressWidth: 48, options: [.supervisor, .writeProtection]
        ).request
        #expect(intel.type == CIOMMU_HWPT_DATA_VTD_S1)
        let words = RequestBuffer(intel.data)
        let (flags, table, width) = (
            words.load(UInt64.self, at: 0), words.load(UInt64.self, at: 8), words.load(UInt32.self, at: 16)
        )
        #expect(flags == 5)
        #expect(table == 0x1000)
        #expect(width == 48)
        #expect(intel.data.count == 24)
        // Nonsense is for the kernel to refuse, and no trap.
        #expect(GuestTranslation.intelVTD(table: 0, addressWidth: -1, options: []).request.data.count == 24)
        let arm = GuestTranslation.armSMMUv3(1, 2).request
        #expect(arm.type == CIOMMU_HWPT_DATA_ARM_SMMUV3)
        #expect(arm.data == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
        let amd = GuestTranslation.amd(1, 2, 3, 4).request
        #expect(amd.type == CIOMMU_HWPT_DATA_AMD_GUEST)
        #expect(amd.data.count == 32)
        #expect(VirtualIOMMU.Kind.armSMMUv3.request.data.isEmpty)
        #expect(VirtualIOMMU.Kind.tegra241CMDQV.request.data.count == 16)
    }

    // MARK: Invalidation

    private func object() throws -> IOMMUFDObject {
        let space = try AddressSpace(.iommufd, kernel: kernel)
        return IOMMUFDObject(77, "a test", of: space, in: try space.requireIOMMUFD(for: "test").file)
    }

    private func failure(_ entries: IOMMUInvalidation) throws -> InvalidationFailure? {
        let object = try object()
        do throws(InvalidationFailure) {
            try entries.perform(on: object, "a test")
            return nil
        } catch { return error }
    }

    @Test(arguments: [(0 as UInt32, 0), (1, 1), (9, 2)])
    func aKernelThatHandlesAnotherNumberOfEntriesIsNotBelieved(_ answer: UInt32, _ handled: Int) throws {
        kernel.accept(CIOMMU_HWPT_INVALIDATE, ciommu_hwpt_invalidate.self) { $0.entry_num = answer }
        let error = try failure(.armSMMUv3([SMMUCommand(1, 2), SMMUCommand(3, 4)]))
        #expect(error?.cause.code == .unexpectedAnswer)
        #expect(error?.handledCount == handled)
    }

    @Test func entriesThatCannotBeAreRefusedBeforeTheKernel() throws {
        for entries: [[UInt8]] in [[[]], [[1], [1, 2]], [[UInt8](repeating: 0, count: 4097)]] {
            let error = try failure(.other(type: 5, entries: entries))
            #expect(error?.cause.code == .invalidArgument)
            #expect(error?.cause.errno == nil)
            #expect(error?.handledCount == 0)
        }
        let many = try failure(.intelVTD([VTDInvalidation](repeating: .all, count: 1 << 19 + 1)))
        #expect(many?.cause.code == .invalidArgument)
    }

    @Test func aKernelWithoutInvalidationHasHandledNothing() throws {
        kernel.refuse(CIOMMU_HWPT_INVALIDATE, with: .inappropriateIOCTLForDevice)
        let error = try failure(.intelVTD([.all]))
        #expect(error?.cause.code == .unsupported)
        #expect(error?.handledCount == 0)
    }

    // MARK: Requests

    private let kernel = ScriptedKernel.machine()

    @Test(arguments: [(Errno.invalidArgument, true), (.inappropriateIOCTLForDevice, false)])
    func aRequestIsKnownUnlessItIsNot(_ errno: Errno, _ isKnown: Bool) throws {
        kernel.refuse(CIOMMU_FAULT_QUEUE_ALLOC, with: errno)
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(try space.supports(.faultQueues) == isKnown)
    }

    @Test func whatIsRefusedIsToldOfAndLeavesNothing() throws {
        let space = try AddressSpace(.iommufd, kernel: kernel)
        kernel.expectRefusals(of: CIOMMU_GET_HW_INFO, [.ioError: .kernel]) { _ = try space.supports(.hardwareInfo) }
        kernel.expectRefusals(of: CIOMMU_OPTION, [.notPermitted: .permissionDenied]) {
            _ = try AddressSpace(accounting: .perProcess, kernel: kernel)
        }
        let buffer = try unprotected { (_) throws(Errno) in 0 }
        // Without the right no address is told, and a kernel that tells none is not taken.
        kernel.expectRefusals(of: CIOMMU_IOAS_NOIOMMU_GET_PA, [.notPermitted: .permissionDenied]) {
            _ = try buffer.physicalRange()
        }
        kernel.refuse(CIOMMU_IOAS_NOIOMMU_GET_PA, with: .inappropriateIOCTLForDevice)
        let before = kernel.openNames
        expectError(.unsupported) { _ = try NoIOMMUAddressSpace(.iommufd, kernel: kernel) }
        #expect(kernel.openNames == before)
        #expect(try NoIOMMUAddressSpace(kernel: kernel).interface == .type1)
        try buffer.close()
    }

    @Test func theAlignmentIsAskedForAfterAChangeOfLargePages() throws {
        let space = try AddressSpace(.iommufd, kernel: kernel)
        _ = try space.iovaRanges()
        kernel.accept(CIOMMU_OPTION)
        kernel.answerRanges([0...0xffff_ffff], alignment: 0x1_0000)
        try space.setUsesLargePages(false)
        expectError(.misaligned) { _ = try space.allocate(byteCount: 0x1_0000, placement: .fixed(0x1000)) }
    }

    @Test func anAddressSpaceIsDestroyedBeforeItsIOMMUFDIsClosed() throws {
        do { _ = try AddressSpace(.iommufd, kernel: kernel) }
        #expect(kernel.calls.suffix(2) == ["ioctl \(CIOMMU_DESTROY & 0xff)", "close"])
        #expect(kernel.openNames.isEmpty)
    }

    // MARK: Devices without an IOMMU

    /// An address space for devices without an IOMMU, and a kernel that tells of physical memory as it is told.
    private func unprotected(
        _ answer: @escaping @Sendable (inout ciommu_ioas_noiommu_get_pa) throws(Errno) -> Int
    ) throws -> NoIOMMUBuffer {
        kernel.answer(CIOMMU_IOAS_NOIOMMU_GET_PA, ciommu_ioas_noiommu_get_pa.self) { (request) throws(Errno) in
            guard request.ioas_id != 0 else { throw .invalidArgument }
            return try answer(&request)
        }
        return try NoIOMMUAddressSpace(.iommufd, kernel: kernel).allocate(byteCount: 8192)
    }

    @Test(arguments: [(0 as UInt64, 0x1000 as UInt64), (8193, 0x1000), (.max, 0x1000), (8192, .max - 4096)])
    func aLengthThatIsNoneIsAnError(_ length: UInt64, _ address: UInt64) throws {
        let buffer = try unprotected { (request) throws(Errno) in
            request.length = length
            request.out_phys = address
            return 0
        }
        expectError(.unexpectedAnswer) { _ = try buffer.physicalRange() }
        // Nor does asking for all of it go on for ever.
        expectError(.unexpectedAnswer) { _ = try buffer.physicalRanges() }
        try buffer.close()
    }

    @Test func piecesAreAskedForOneByOne() throws {
        let buffer = try unprotected { (request) throws(Errno) in
            request.out_phys = 0x10_0000 + (request.iova & 0xffff) * 16
            request.length = min(request.length, 4096)
            return 0
        }
        let pieces = try buffer.physicalRanges()
        #expect(pieces.map(\.byteCount) == [4096, 4096])
        #expect(pieces[1].address == pieces[0].address + 65536)
        expectError(.outOfRange) { _ = try buffer.physicalRange(at: 8192) }
        try buffer.close()
    }

    @Test func aGroupWithoutAnIOMMUIsNotOpenedUnasked() throws {
        kernel.addLink("/sys/class/vfio/noiommu-5", to: "../../devices/virtual/vfio/noiommu-5")
        kernel.removeNode("/dev/vfio/5")
        kernel.addNode("/dev/vfio/noiommu-5")
        let space = try AddressSpace(.type1, kernel: kernel)
        expectError(.unsupported) { _ = try Device(at: ScriptedKernel.address, in: space) }
        #expect(kernel.openNames == ["/dev/vfio/vfio"])
    }
}
