import Glibc

@testable import VFIO

/// What the library makes of a kernel that answers with something it cannot mean.
@Suite struct HostileKernelTests {
    private let kernel = ScriptedKernel.machine()

    // MARK: A kernel that behaves, as the control

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1])
    func aWellBehavedKernelIsServed(_ interface: AddressSpace.Interface) throws {
        do {
            let device = try kernel.device(interface)
            let buffer = try device.space.allocate(byteCount: 5000)
            #expect(buffer.byteCount == 8192)
            #expect(buffer.iova == 0x1000)
            let region = try device.map(.bar0)
            region.write32(7, at: 4)
            #expect(region.read32(at: 4) == 7)
            try closeAll(region, buffer, device)
        }
        #expect(kernel.openNames.isEmpty)
        #expect(kernel.mappedLengths.isEmpty)
    }

    // MARK: Address ranges

    @Test(arguments: [17, 40]) func manyRangesTakeASecondCall(_ count: Int) throws {
        let ranges = (0..<UInt64(count)).map { ($0 << 20)...($0 << 20 | 0xffff) }
        kernel.answerRanges(ranges)
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(try space.iovaRanges().map { $0.lowerBound.rawValue...$0.upperBound.rawValue } == ranges)
    }

    /// The number that is answered (without one, one more each time), and whether the ranges fit.
    @Test(
        arguments: [
            (.max, true, .unexpectedAnswer), (nil, false, .unexpectedAnswer), (0, false, .kernel), (16, false, .kernel),
            (.max, false, .kernel),
        ] as [(UInt32?, Bool, VFIOError.Code)])
    func aNumberOfRangesThatCannotBeIsAnError(_ count: UInt32?, _ fits: Bool, _ expected: VFIOError.Code) throws {
        kernel.answer(CIOMMU_IOAS_IOVA_RANGES, ciommu_ioas_iova_ranges.self) { (request) throws(Errno) in
            request.num_iovas = count ?? request.num_iovas + 1
            request.out_iova_alignment = 4096
            guard fits else { throw .messageTooLong }
            return 0
        }
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(code { _ = try space.iovaRanges() } == expected)
    }

    @Test func aRangeThatEndsBeforeItBeginsIsAnError() throws {
        kernel.accept(CIOMMU_IOAS_IOVA_RANGES, ciommu_ioas_iova_ranges.self) { request in
            let target = UnsafeMutablePointer<ciommu_iova_range>(bitPattern: UInt(request.allowed_iovas))!
            target.pointee.start = 2
            target.pointee.last = 1
            request.num_iovas = 1
        }
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(code { _ = try space.iovaRanges() } == .unexpectedAnswer)
    }

    @Test func noRangesMeanNoRoom() throws {
        kernel.answerRanges([])
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(try space.iovaRanges().isEmpty)
        #expect(code { _ = try space.allocate(byteCount: 1) } == .noSpace)
        #expect(code { _ = try space.allocate(byteCount: 1, placement: .fixed(0x1000)) } == .outOfRange)
        #expect(kernel.mappedLengths.isEmpty)
    }

    @Test(
        arguments: [
            [0x4000...0x7fff, 0x1000...0x1fff], [0x1000...0x4fff, 0x2000...0x7fff], [0x1000...0x1fff, 0x1fff...0x2fff],
        ] as [[ClosedRange<UInt64>]])
    func rangesOutOfOrderAreAnError(_ ranges: [ClosedRange<UInt64>]) throws {
        kernel.answerRanges(ranges)
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(code { _ = try space.iovaRanges() } == .unexpectedAnswer)
    }

    @Test func rangesThatTouchAreInOrder() throws {
        kernel.answerRanges([0x1000...0x1fff, 0x2000...0x2fff])
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(try space.iovaRanges() == [0x1000...0x1fff, 0x2000...0x2fff])
    }

    @Test(arguments: [0, 3, 12288, .max] as [UInt64])
    func anAlignmentThatIsNoPowerOfTwoIsAnError(_ alignment: UInt64) throws {
        kernel.answerRanges([0...0xffff_ffff], alignment: alignment)
        let space = try AddressSpace(.iommufd, kernel: kernel)
        #expect(code { _ = try space.mappingAlignment() } == .unexpectedAnswer)
    }

    private static let headerSize = UInt32(MemoryLayout<cvfio_iommu_type1_info>.size)

    /// Out of order, cut short (twice), one that ends before it begins, and in a circle.
    @Test(arguments: [
        Bytes(ranges: 2, [0x4000, 0x4fff, 0x1000, 0x1fff]), Bytes(ranges: 2, [0x1000, 0x1fff]),
        Bytes(ranges: .max, [0x1000, 0x1fff]), Bytes(ranges: 1, [2, 1]), Bytes(capability: 77, next: headerSize),
    ]) func type1CapabilitiesThatCannotBeAreAnError(_ capabilities: Bytes) throws {
        kernel.answerType1Info { capabilities }
        #expect(code { _ = try kernel.device(.type1) } == .unexpectedAnswer)
    }

    @Test func unknownType1CapabilitiesArePassedOver() throws {
        kernel.answerType1Info {
            var bytes = Bytes(capability: 77, next: Self.headerSize + 8)
            bytes.raw += Bytes(ranges: 1, [0x1000, 0x1fff]).raw
            return bytes
        }
        let device = try kernel.device(.type1)
        #expect(try device.space.iovaRanges() == [0x1000...0x1fff])
    }

    // MARK: Unmapping

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1], [0, 4096, 1 << 20] as [UInt64])
    func anotherUnmapSizeIsAnError(_ interface: AddressSpace.Interface, _ size: UInt64) throws {
        kernel.accept(CIOMMU_IOAS_UNMAP, ciommu_ioas_unmap.self) { $0.length = size }
        kernel.accept(CVFIO_IOMMU_UNMAP_DMA, cvfio_iommu_type1_dma_unmap.self) { $0.size = size }
        let device = try kernel.device(interface)
        let buffer = try device.space.allocate(byteCount: 8192)
        let iova = buffer.iova
        let error = failure(closing: buffer)
        #expect(error?.code == .unexpectedAnswer)
        #expect(error?.hint == "\(size) bytes were unmapped instead of 8192")
        // The memory is freed, but its addresses stay taken.
        #expect(kernel.mappedLengths.isEmpty)
        #expect(try device.space.allocate(byteCount: 4096).iova >= iova + 8192)
    }

    @Test func theAddressesOfAPeerMappingStayTakenWhenItCannotBeUnmapped() throws {
        kernel.refuse(CIOMMU_IOAS_UNMAP, with: .ioError)
        let device = try kernel.device()
        let space = device.space
        let peer = try space.map(try device.exportDMABuf(of: .bar0, 0..<4096))
        let iova = peer.iova
        let error = failure(closing: peer)
        #expect(error?.errno == .ioError)
        let next = try space.allocate(byteCount: 4096)
        #expect(next.iova != iova, "a device may still reach the peer there")
    }

    // MARK: Devices and regions

    @Test func aDeviceWithoutRegionsHasNone() throws {
        kernel.accept(CVFIO_DEVICE_GET_INFO)
        let device = try kernel.device()
        #expect(code { _ = try device.region(.bar0) } == .notFound)
        #expect(code { _ = try device.config.read8(at: 0) } == .notFound)
        #expect(code { _ = try device.interrupts(.msi) } == .notFound)
        #expect(code { try device.reset() } == .unsupported)
    }

    @Test(arguments: [0, 1]) func shortReadsAndWritesAreErrors(_ count: Int) throws {
        let device = try kernel.device()
        kernel.onReadAt { (_, _) throws(Errno) in count }
        kernel.onWriteAt { (_, _) throws(Errno) in count }
        kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
            region.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            region.size = 4096
        }
        expectError(.unexpectedAnswer, hint: "\(count) of 4 bytes were read") { _ = try device.config.read32(at: 0) }
        #expect(
            code { _ = try device.withRegisters(.bar0) { registers in registers.read32(at: 0) } } == .unexpectedAnswer)
        #expect(
            code { try device.withRegisters(.bar0) { registers in registers.write32(1, at: 0) } } == .unexpectedAnswer)
    }

    @Test func aRefusedRegisterReadsAsAllOnes() throws {
        let device = try kernel.device()
        kernel.onReadAt { (_, _) throws(Errno) in throw .ioError }
        kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
            region.flags = CVFIO_REGION_INFO_FLAG_READ
            region.size = 4096
        }
        var seen: [UInt64] = []
        let error = #expect(throws: VFIOError.self) {
            try device.withRegisters(.bar0) { registers in
                seen = [
                    UInt64(registers.read8(at: 1)), UInt64(registers.read16(at: 2)), UInt64(registers.read32(at: 4)),
                    registers.read64(at: 8),
                ]
            }
        }
        #expect(seen == [0xff, 0xffff, 0xffff_ffff, .max])
        #expect(error?.operation == "read at 0x1 (pread)", "the first refusal is the one that is told")
    }

    @Test func aRegionLargerThanMemoryCannotBeMapped() async {
        await #expect(processExitsWith: .success) {
            let kernel = ScriptedKernel.machine()
            let device = try Device(at: ScriptedKernel.address, in: try AddressSpace(.iommufd, kernel: kernel))
            kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
                region.flags = 0x7
                region.size = .max
            }
            let error = #expect(throws: VFIOError.self) { _ = try device.map(.bar0) }
            #expect(error != nil)
        }
    }

    @Test func anOffsetBeyondTheDescriptorsIsAnError() async {
        await #expect(processExitsWith: .success) {
            let kernel = ScriptedKernel.machine()
            kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
                region.flags = 0x3
                region.size = 256
                region.offset = .max - 3
            }
            // Config space is read when the device is opened.
            #expect(throws: VFIOError.self) {
                _ = try Device(at: ScriptedKernel.address, in: try AddressSpace(.iommufd, kernel: kernel))
            }
        }
    }

    @Test(arguments: [0x100, 0x104, 0x1000, UInt64.max - 3] as [UInt64])
    func configAccessOutsideIsAnError(_ offset: UInt64) throws {
        let device = try kernel.device()
        #expect(code { _ = try device.config.read32(at: offset) } == .outOfRange)
        #expect(code { try device.config.write32(0, at: offset) } == .outOfRange)
    }

    // MARK: dma-bufs

    @Test func aDMABufOfNoBytesCannotBeMapped() async {
        await #expect(processExitsWith: .success) {
            let kernel = ScriptedKernel.machine()
            let space = try AddressSpace(.iommufd, kernel: kernel)
            let empty = try DMABuf(adopting: kernel.makeDescriptor("from elsewhere", size: 0), kernel: kernel)
            #expect(throws: VFIOError.self) { _ = try space.map(empty) }
        }
    }

    // MARK: A failure at each call

    private static func scenario(_ kernel: ScriptedKernel, _ interface: AddressSpace.Interface) throws {
        let space = try AddressSpace(interface, kernel: kernel)
        let device = try Device(at: ScriptedKernel.address, in: space)
        try use(device)
        try device.close()
    }

    private static func use(_ device: borrowing Device) throws {
        let space = device.space
        let buffer = try space.allocate(byteCount: 4096)
        try device.withRegisters(.bar0) { (registers) throws(VFIOError) in registers.write32(1, at: 0) }
        let region = try device.map(.bar0)
        let vector = try device.interrupts(.msix).enable(vector: 1)
        let other = try device.interrupts(.msix).enable(vector: 2)
        try vector.trigger()
        try device.config.updateCommand { $0.insert(.busMaster) }
        if space.interface == .iommufd {
            let window = try device.exportDMABuf(of: .bar0, 0..<4096)
            let peer = try space.map(window)
            try device.reset()
            try peer.restore()
            try closeAll(peer, window)
        }
        try closeAll(other, vector, region, buffer)
    }

    @Test(
        arguments: [AddressSpace.Interface.iommufd, .type1],
        [Errno.noMemory, .ioError, .invalidArgument, .permissionDenied])
    func whateverFailsNothingStaysOpen(_ interface: AddressSpace.Interface, _ errno: Errno) throws {
        for number in 1... {
            let kernel = ScriptedKernel.machine()
            kernel.failCall(number, with: errno)
            var failure: (any Error)?
            do { try Self.scenario(kernel, interface) } catch { failure = error }
            let call = kernel.calls.isEmpty ? "" : "call \(number), \(errno)"
            try #require(number < 200, "the scenario has an end")
            guard kernel.hasFailed else {
                #expect(failure == nil, "nothing failed: \(String(describing: failure))")
                break
            }
            #expect(failure == nil || failure is VFIOError)
            #expect(kernel.openNames.isEmpty, "\(call): \(String(describing: failure))")
            #expect(kernel.mappedLengths.isEmpty, "\(call): \(String(describing: failure))")
        }
    }

    @Test func aGroupIsGivenBackWhenTheRangesCannotBeHad() throws {
        kernel.refuse(CVFIO_IOMMU_GET_INFO, with: .ioError)
        let space = try AddressSpace(.type1, kernel: kernel)
        #expect(code { _ = try Device(at: ScriptedKernel.address, in: space) } == .kernel)
        #expect(kernel.openNames == ["/dev/vfio/vfio"])
    }

    // MARK: Interrupts

    /// The kernel gives the number of vectors that it could have, which may be fewer, or refuses with ENOSPC.
    @Test(arguments: [true, false]) func theVectorsThatWereOnAreOnAgainAfterAFailedGrowth(_ isPositive: Bool) throws {
        let device = try kernel.device()
        let first = try device.interrupts(.msix).enable(vector: 0)
        let counts = Notes<UInt32>()
        kernel.answer(CVFIO_DEVICE_SET_IRQS, cvfio_irq_set.self) { (request) throws(Errno) in
            counts.add(request.count)
            // Two vectors together are more than there is room for; one is not.
            if request.count > 1 {
                if isPositive { return 1 }
                throw .noSpace
            }
            return 0
        }
        expectError(.limit, errno: .noSpace) { _ = try device.interrupts(.msix).enable(vector: 1) }
        #expect(counts.all == [0, 2, 1], "all off, both on (refused), and the old one on again")
        #expect(first.vector == 0)
        // The new one is not taken for on, and its event is gone.
        #expect(kernel.openNames.filter { $0 == "eventfd" }.count == 1)
        kernel.accept(CVFIO_DEVICE_SET_IRQS)
        let second = try device.interrupts(.msix).enable(vector: 1)
        #expect(second.vector == 1)
    }

    @Test(arguments: [1, 7, Int(Int32.max)]) func fewerVectorsThanAskedForAreNone(_ answer: Int) throws {
        kernel.answer(CVFIO_DEVICE_SET_IRQS) { (_) throws(Errno) in answer }
        let device = try kernel.device()
        expectError(.limit, errno: .noSpace) { _ = try device.interrupts(.msi).enable() }
        #expect(!kernel.openNames.contains("eventfd"))
        kernel.accept(CVFIO_DEVICE_SET_IRQS)
        let vector = try device.interrupts(.msi).enable()
        #expect(vector.vector == 0)
    }
}
