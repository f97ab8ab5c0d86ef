import Glibc

@testable import VFIO

/// `VFIO_DEVICE_FEATURE_DMA_BUF`, and what the descriptor can do that it gives.
extension Contract.DMABufExportTests {
    // MARK: The feature

    @Test("the feature can be probed, which makes no descriptor", arguments: Scenario.all)
    func probe(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        #expect(try device.supports(.dmaBuf))
        let feature = CVFIO_DEVICE_FEATURE_PROBE | CVFIO_DEVICE_FEATURE_DMA_BUF
        let descriptor = device.core.descriptor
        let before = ProcessView.descriptors()
        #expect(try bench.kernel.feature(descriptor, feature) == 0)
        #expect(try bench.kernel.feature(descriptor, feature | CVFIO_DEVICE_FEATURE_GET) == 0)
        expectErrno(.invalidArgument, "probe of SET") {
            try bench.kernel.feature(descriptor, feature | CVFIO_DEVICE_FEATURE_SET)
        }
        expectErrno(.invalidArgument, "probe of GET and SET") {
            try bench.kernel.feature(descriptor, feature | CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_SET)
        }
        #expect(ProcessView.descriptors() == before)
        try device.close()
    }

    @Test("what is not offered is ENOTTY, or nothing at all", arguments: Scenario.all)
    func otherFeatures(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        #expect(try device.supports(.dmaBuf) == bench.offer.hasDMABuf)
        #expect(try device.supports(.lowPower))
        #expect(try device.supports(.migration) == false)
        #expect(try device.supports(.dmaLogging) == false)
        #expect(try device.supports(.vfToken) == false)
        #expect(try device.supports(DeviceFeature(rawValue: 0xffff)) == false)
        for feature in [CVFIO_DEVICE_FEATURE_MIGRATION, CVFIO_DEVICE_FEATURE_BUS_MASTER, 0xffff] {
            expectErrno(.inappropriateIOCTLForDevice, "feature \(feature)") {
                try bench.kernel.feature(device.core.descriptor, CVFIO_DEVICE_FEATURE_PROBE | feature)
            }
        }
        try device.close()
    }

    // MARK: Refusals of the kernel

    @Test("the kernel refuses what is no part of a BAR", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let size = try device.region(.bar2).byteCount
        let (kernel, descriptor) = (bench.kernel, device.core.descriptor)
        func expect(_ errno: Errno, _ comment: Comment, _ change: (inout ExportRequest) -> Void) {
            var request = ExportRequest()
            change(&request)
            expectErrno(errno, comment) { try kernel.export(descriptor, request) }
        }
        expect(.invalidArgument, "offset off the page") { $0.ranges = [(0x800, 4096)] }
        expect(.invalidArgument, "length off the page") { $0.ranges = [(0, 0x800)] }
        expect(.invalidArgument, "length 0") { $0.ranges = [(0, 0)] }
        expect(.invalidArgument, "a second range of length 0") { $0.ranges = [(0, 4096), (4096, 0)] }
        expect(.invalidArgument, "sum overflow") { $0.ranges = [(0, 1 << 63), (0, 1 << 63)] }
        expect(.invalidArgument, "flags") { $0.flags = 1 }
        expect(.invalidArgument, "no range") { $0.ranges = [] }
        expect(.invalidArgument, "range count 0") { $0.rangeCount = 0 }
        expect(.invalidArgument, "past the end by a page") { $0.ranges = [(size, 4096)] }
        expect(.invalidArgument, "longer than the BAR") { $0.ranges = [(0, size + 4096)] }
        expect(.overflow, "an offset that wraps") { $0.ranges = [(~0xfff, 4096)] }
        expect(.invalidArgument, "a BAR of 256 bytes, by a page") { $0.region = 0 }
        expect(.invalidArgument, "a BAR of 256 bytes, by its size") {
            $0.region = 0
            $0.ranges = [(0, 256)]
        }
        expect(.invalidArgument, "too short a request") { $0.size = 16 }
        expect(.invalidArgument, "SET") { $0.operation = CVFIO_DEVICE_FEATURE_SET }
        expect(.invalidArgument, "GET and SET") { $0.operation = CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_SET }
        expect(.invalidArgument, "neither GET nor SET") { $0.operation = 0 }
        for region: UInt32 in [1, 3, 4, 5] {
            expect(.operationNotSupportedByDevice, "BAR \(region), of size 0") { $0.region = region }
        }
        for region: UInt32 in [6, 7, 8, 9, .max] {
            expect(.operationNotSupportedByDevice, "region \(region)") { $0.region = region }
        }
        try device.close()
    }

    @Test(
        "of two refusals, the number of ranges comes first, then the region, then the ranges",
        arguments: Scenario.all)
    func order(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let descriptor = device.core.descriptor
        expectErrno(.invalidArgument, "no range of config space") {
            try bench.kernel.export(descriptor, ExportRequest(region: 7, ranges: []))
        }
        expectErrno(.invalidArgument, "flags for config space") {
            try bench.kernel.export(descriptor, ExportRequest(region: 7, flags: 1))
        }
        expectErrno(.operationNotSupportedByDevice, "an empty range of config space") {
            try bench.kernel.export(descriptor, ExportRequest(region: 7, ranges: [(0, 0)]))
        }
        expectErrno(.operationNotSupportedByDevice, "a misaligned range of a BAR of size 0") {
            try bench.kernel.export(descriptor, ExportRequest(region: 3, ranges: [(1, 1)]))
        }
        expectErrno(.invalidArgument, "one range past the end, and one off the page") {
            try bench.kernel.export(descriptor, ExportRequest(ranges: [(1 << 30, 4096), (1, 4096)]))
        }
        try device.close()
    }

    // MARK: Refusals of the library

    @Test("the library says what is wrong before it asks the kernel", arguments: Scenario.all)
    func libraryRefusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let size = try device.region(.bar2).byteCount
        let refusals: [(VFIOError.Code, RegionIndex, Range<UInt64>)] = [
            (.misaligned, .bar2, 0x800..<0x1800),
            (.misaligned, .bar2, 0..<0x800),
            (.invalidArgument, .bar2, 0..<0),
            (.outOfRange, .bar2, size..<(size + 4096)),
            (.outOfRange, .bar2, 0..<(size + 4096)),
            (.outOfRange, .bar0, 0..<4096),
            (.misaligned, .bar0, 0..<256),
            (.notFound, .bar1, 0..<4096),
            (.notFound, .rom, 0..<4096),
            (.notFound, .config, 0..<4096),
            (.notFound, RegionIndex(rawValue: 9), 0..<4096),
        ]
        for (code, index, range) in refusals {
            expectRefusal(code) { _ = try device.exportDMABuf(of: index, range) }
        }
        expectRefusal(.invalidArgument) { _ = try device.exportDMABuf(of: .bar2, ranges: []) }
        expectRefusal(.invalidArgument) { _ = try device.exportDMABuf(of: .bar2, 0..<4096, access: .write) }
        expectRefusal(.invalidArgument) { _ = try device.exportDMABuf(of: .bar2, 0..<4096, access: []) }
        try device.close()
    }

    // MARK: The descriptor

    @Test("its size is that of its ranges together", arguments: Scenario.all)
    func size(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let whole = try device.exportDMABuf(of: .bar2, 0..<(16 << 20))
        let one = try device.exportDMABuf(of: .bar2, 4096..<8192)
        let several = try device.exportDMABuf(of: .bar2, ranges: [8192..<12288, 0..<4096, 65536..<131072])
        let twice = try device.exportDMABuf(of: .bar2, ranges: [0..<4096, 0..<4096])
        #expect(whole.byteCount == 16 << 20)
        #expect(one.byteCount == 4096)
        #expect(several.byteCount == 4096 + 4096 + 65536)
        #expect(twice.byteCount == 8192)
        #expect(try bench.kernel.size(of: several.descriptor) == 73728)
        try closeAll(whole, one, several, twice, device)
    }

    @Test("the CPU cannot map it", arguments: Scenario.all)
    func mapForCPU(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        #expect(throws: Errno.invalidArgument) {
            try bench.kernel.map(MemoryMapRequest(byteCount: 4096, source: .file(window.descriptor, offset: 0)))
        }
        try closeAll(window, device)
    }

    @Test("it can be synchronized", arguments: Scenario.all)
    func synchronize(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        for access: DMAAccess in [.read, .write, .readWrite] {
            try window.beginCPUAccess(access)
            try window.endCPUAccess(access)
        }
        for flags: UInt64 in [0, CDMA_BUF_SYNC_END, 8, CDMA_BUF_SYNC_READ | 8] {
            var request = cdma_buf_sync(flags: flags)
            expectErrno(.invalidArgument, "flags \(flags)") {
                try bench.kernel.control(window.descriptor, CDMA_BUF_IOCTL_SYNC, with: &request)
            }
        }
        try closeAll(window, device)
    }

    @Test("it has a name that others see", arguments: Scenario.all)
    func name(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device.exportDMABuf(of: .bar2, 0..<8192)
        let info = FilePath("/proc/self/fdinfo/\(window.descriptor.rawValue)")
        try window.setName("first")
        #expect(try bench.kernel.text(of: info).contains("\nname:\tfirst\n"))
        try window.setName("a name of thirty-one bytes, ok.")
        #expect(try bench.kernel.text(of: info).contains("\nname:\ta name of thirty-one bytes, ok.\n"))
        #expect(try bench.kernel.text(of: info).contains("\nsize:\t8192\n"))
        #expect(try bench.kernel.text(of: info).contains("\nexp_name:\tvfio"))
        expectRefusal(.invalidArgument) { try window.setName(String(repeating: "x", count: 32)) }
        expectRefusal(.invalidArgument) { try window.setName("zero\0inside") }
        try window.setName("")
        try closeAll(window, device)
    }

    @Test("a name of 32 bytes is refused by the kernel", arguments: Scenario.all)
    func longName(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        let name = RequestBuffer(byteCount: 33)
        for offset in 0..<32 { name.store(UInt8(ascii: "x"), at: offset) }
        expectErrno(.invalidArgument) { try bench.kernel.control(window.descriptor, CDMA_BUF_SET_NAME, with: name) }
        try closeAll(window, device)
    }

    @Test("it is open for what was asked, and is not inherited", arguments: Scenario.all)
    func openFlags(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        for (access, mode) in [(DMAAccess.read, O_RDONLY), (.readWrite, O_RDWR)] {
            let window = try device.exportDMABuf(of: .bar2, 0..<4096, access: access)
            let info = try bench.kernel.text(of: FilePath("/proc/self/fdinfo/\(window.descriptor.rawValue)"))
            let line = try #require(info.split(separator: "\n").first { $0.hasPrefix("flags:") })
            let flags = try #require(Int32(line.dropFirst(6).drop { $0 == "\t" }, radix: 8))
            #expect(flags & O_ACCMODE == mode)
            #expect(flags & O_CLOEXEC != 0)
            try window.close()
        }
        try device.close()
    }

    @Test("it can be exported while memory decode is off, and is revoked until it is on", arguments: Scenario.all)
    func exportWhileOff(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(false)
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        #expect(window.state == .revoked)
        try device.setMemoryDecode(true)
        #expect(window.state == .live)
        try closeAll(window, device)
    }
}
