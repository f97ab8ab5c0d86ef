@testable import VFIO

@Suite struct RegionInfoTests {
    private static let headerSize = UInt32(MemoryLayout<cvfio_region_info>.size)

    /// Reads an answer of the kernel's: a region, and the bytes that follow.
    private func parse(
        size: UInt64 = 0x10000, offset: UInt64 = 0, flags: UInt32 = 0xf, capOffset: UInt32? = nil,
        _ tail: Bytes = Bytes()
    ) throws(VFIOError) -> RegionInfo {
        var header = cvfio_region_info()
        header.argsz = Self.headerSize + UInt32(tail.raw.count)
        header.flags = flags
        header.size = size
        header.offset = offset
        header.cap_offset = capOffset ?? (tail.raw.isEmpty ? 0 : Self.headerSize)
        let bytes = ABI.bytes([header]) + tail.raw
        let kernel = ScriptedKernel()
        kernel.answer(CVFIO_DEVICE_GET_REGION_INFO) { (room) throws(Errno) in
            room.copyBytes(from: bytes.prefix(room.count))
            return 0
        }
        let answer = try ABI.getRegionInfo(2).perform(
            on: BorrowedDescriptor(kernel.makeDescriptor("device"), of: kernel), operation: "ask", "BAR 2")
        return try RegionInfo(answer, index: .bar2, subject: "BAR 2")
    }

    private func sparse(count: UInt32? = nil, next: UInt32 = 0, _ areas: [(UInt64, UInt64)]) -> Bytes {
        var bytes = Bytes(capability: CVFIO_REGION_INFO_CAP_SPARSE_MMAP, next: next)
        bytes.append(count ?? UInt32(areas.count), UInt32(0))
        for area in areas { bytes.append(area.0, area.1) }
        return bytes
    }

    @Test func theFlagsAreRead() throws {
        let none = try parse(flags: 0)
        #expect(!none.isReadable && !none.isWritable && !none.isMappable && none.mappableAreas.isEmpty)
        let read = try parse(flags: CVFIO_REGION_INFO_FLAG_READ)
        #expect(read.isReadable && !read.isWritable && !read.isMappable)
        let write = try parse(flags: CVFIO_REGION_INFO_FLAG_WRITE)
        #expect(!write.isReadable && write.isWritable)
        let all = try parse(size: 0x4000, offset: 7, flags: 0x7)
        #expect(all.isReadable && all.isWritable && all.isMappable)
        #expect(all.mappableAreas == [0..<0x4000])
        #expect(all.offset == 7)
        #expect(all.byteCount == 0x4000)
        #expect(all.type == nil)
        #expect(!all.isMSIXTableMappable)
    }

    @Test func aRegionThatCannotBeReadIsNotMapped() throws {
        for flags in [CVFIO_REGION_INFO_FLAG_MMAP, CVFIO_REGION_INFO_FLAG_MMAP | CVFIO_REGION_INFO_FLAG_WRITE] {
            let region = try parse(flags: flags)
            #expect(!region.isMappable && region.mappableAreas.isEmpty)
        }
        let read = try parse(flags: CVFIO_REGION_INFO_FLAG_MMAP | CVFIO_REGION_INFO_FLAG_READ)
        #expect(read.isMappable && !read.isWritable)
    }

    @Test func aRegionOfNoBytesHasNoAreas() throws {
        #expect(try parse(size: 0).mappableAreas.isEmpty)
    }

    @Test func capabilitiesWithoutTheFlagAreIgnored() throws {
        #expect(try parse(flags: 0x7, sparse([(0, 0x1000)])).mappableAreas == [0..<0x10000])
        #expect(try parse(flags: 0x7, capOffset: .max).mappableAreas == [0..<0x10000])
    }

    @Test func theFlagWithoutCapabilitiesIsAnEmptyChain() throws {
        #expect(try parse().mappableAreas == [0..<0x10000])
    }

    @Test func sparseAreasAreRead() throws {
        let region = try parse(sparse([(0, 0x1000), (0x3000, 0xd000)]))
        #expect(region.mappableAreas == [0..<0x1000, 0x3000..<0x10000])
    }

    @Test func noSparseAreasMeanThatNothingIsMappable() throws {
        #expect(try parse(sparse([])).mappableAreas.isEmpty)
        #expect(try parse(sparse([(0x1000, 0)])).mappableAreas.isEmpty)
    }

    @Test func sparseAreasOfARegionWithoutMmapAreNotMappable() throws {
        #expect(try parse(flags: 0x9, sparse([(0, 0x1000)])).mappableAreas.isEmpty)
    }

    @Test(
        arguments: [
            (0x10000, 1), (0xf000, 0x1001), (0, 0x10001), (.max, 1), (.max, .max), (1, .max), (0x8000, .max - 0x7fff),
        ] as [(UInt64, UInt64)])
    func anAreaThatLeavesTheRegionIsAnError(_ offset: UInt64, _ size: UInt64) {
        expectError(.unexpectedAnswer, hint: "an area leaves the region") {
            _ = try parse(sparse([(0, 0x1000), (offset, size)]))
        }
    }

    @Test(arguments: [2, 3, 0x1000_0000, .max] as [UInt32])
    func moreAreasThanTheAnswerHoldsAreAnError(_ count: UInt32) {
        expectError(.unexpectedAnswer, hint: "the capability \"sparse mmap\" is cut short") {
            _ = try parse(sparse(count: count, [(0, 0x1000)]))
        }
    }

    @Test(arguments: [CVFIO_REGION_INFO_CAP_SPARSE_MMAP, CVFIO_REGION_INFO_CAP_TYPE], [0, 4, 7])
    func aCapabilityThatIsCutShortIsAnError(_ id: UInt16, _ bytesBehind: Int) {
        var tail = Bytes(capability: id)
        tail.raw += [UInt8](repeating: 0, count: bytesBehind)
        let error = expectError(.unexpectedAnswer) { _ = try parse(tail) }
        #expect(error?.hint?.hasSuffix("is cut short") == true)
    }

    @Test func theTypeIsRead() throws {
        var tail = Bytes(capability: CVFIO_REGION_INFO_CAP_TYPE)
        tail.append(CVFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x8086, CVFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION)
        let type = try #require(try parse(tail).type)
        #expect(type.type == 0x8000_8086)
        #expect(type.subtype == 1)
    }

    @Test func unknownCapabilitiesArePassedOver() throws {
        var tail = Bytes(capability: 0xffff, next: Self.headerSize + 16)
        tail.append(UInt64.max)
        tail.raw += Bytes(capability: CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE, next: Self.headerSize + 24).raw
        tail.raw += sparse([(0x1000, 0x1000)]).raw
        let region = try parse(tail)
        #expect(region.isMSIXTableMappable)
        #expect(region.mappableAreas == [0x1000..<0x2000])
    }

    @Test(arguments: [(0x1000, .max - 0xffe), (.max, 0), (1 << 63, 0), (1 << 62, 1 << 63)] as [(UInt64, UInt64)])
    func aRegionThatLeavesTheDescriptorsOffsetsIsAnError(_ size: UInt64, _ offset: UInt64) {
        // pread(2) takes a signed offset, so no region ends beyond Int64.max; sums of such numbers would trap later.
        expectError(.unexpectedAnswer) { _ = try parse(size: size, offset: offset, flags: 0x7) }
    }
}
