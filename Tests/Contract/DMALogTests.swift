@testable import VFIO
@testable import VFIOPassthrough

/// The log of a device's DMA, on the kernel's sample mtty, which does none.
extension Contract.DMALogTests {
    private static let uuid: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa3001"

    private func withPort(_ scenario: Scenario, _ body: (borrowing Device) throws -> Void) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.uuid]) {
            let device = try Device(mediated: Self.uuid, in: try bench.makeSpace())
            do { try body(device) }
            try device.close()
        }
    }

    @Test("a log is started, read and stopped", arguments: Scenario.all)
    func log(_ scenario: Scenario) throws {
        try withPort(scenario) { device in
            let log = try device.startDMALog(of: [0x10000..<0x20000, 0x4000_0000..<0x8000_0000])
            #expect(log.pageSize == 4096)
            #expect(try log.takeDirtyPages(in: 0x10000..<0x20000).isEmpty)
            #expect(try log.takeDirtyPages(in: 0x4000_0000..<0x8000_0000).isEmpty)
            #expect(try log.takeDirtyPages(in: 0x4000_0000..<0x8000_0000, pageSize: 1 << 21).isEmpty)
            expectRefusal(.outOfRange) { _ = try log.takeDirtyPages(in: 0x1f000..<0x21000) }
            expectRefusal(.misaligned) { _ = try log.takeDirtyPages(in: 0x10800..<0x11000) }
            expectRefusal(.invalidArgument) { _ = try log.takeDirtyPages(in: 0x10000..<0x11000, pageSize: 512) }
            expectRefusal(.invalidArgument) { _ = try log.takeDirtyPages(in: 0x10000..<0x10000) }
            try log.close()
            _ = try device.startDMALog(of: [0..<0x1000])
        }
    }

    @Test("the library refuses ranges that the kernel would not take", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        try withPort(scenario) { device in
            expectRefusal(.invalidArgument) { _ = try device.startDMALog(of: []) }
            expectRefusal(.invalidArgument) { _ = try device.startDMALog(of: [0x1000..<0x1000]) }
            expectRefusal(.misaligned) { _ = try device.startDMALog(of: [0x1000..<0x1800]) }
            expectRefusal(.invalidArgument) { _ = try device.startDMALog(of: [0x1000..<0x2000], pageSize: 5000) }
            expectRefusal(.invalidArgument) { _ = try device.startDMALog(of: [0x1000..<0x3000, 0x2000..<0x4000]) }
            let many = (0..<UInt64(257)).map { IOVA($0 << 13)..<IOVA($0 << 13 | 0x1000) }
            expectRefusal(.limit, .argListTooLong) { _ = try device.startDMALog(of: many) }
        }
    }

    @Test("the kernel refuses the same", arguments: Scenario.all)
    func kernelRefusals(_ scenario: Scenario) throws {
        try withPort(scenario) { device in
            #expect(start(device, [(0x1000, 0x1000)]) == nil)
            #expect(start(device, []) == .invalidArgument)
            #expect(start(device, [(0x1000, 0x800)]) == .invalidArgument)
            #expect(start(device, [(0x1000, 0x2000), (0x2000, 0x1000)]) == .invalidArgument)
            #expect(start(device, [(.max - 0xfff, 0x1000)]) == .overflow)
            #expect(report(device, 0x1000, 0x1000, 4096) == nil)
            #expect(report(device, 0x1000, 0x1000, 2048) == .invalidArgument)
            #expect(report(device, 0x1000, 0x1000, 5000) == .invalidArgument)
            #expect(report(device, .max - 0xfff, 0x1000, 4096) == .overflow)
        }
    }

    private func start(_ device: borrowing Device, _ ranges: [(UInt64, UInt64)]) -> Errno? {
        let list = RequestBuffer(ABI.bytes(ranges.flatMap { [$0.0, $0.1] } + [0]))
        defer { withExtendedLifetime(list) {} }
        return ask(
            device, CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_START,
            [4096, UInt64(ranges.count), list.address])
    }

    private func report(_ device: borrowing Device, _ iova: UInt64, _ length: UInt64, _ pageSize: UInt64) -> Errno? {
        let bitmap = RequestBuffer(byteCount: 8)
        defer { withExtendedLifetime(bitmap) {} }
        return ask(
            device, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
            [iova, length, pageSize, bitmap.address])
    }

    private func ask(_ device: borrowing Device, _ flags: UInt32, _ data: [UInt64]) -> Errno? {
        let words = data.flatMap { [UInt32(truncatingIfNeeded: $0), UInt32($0 >> 32)] }
        do throws(Errno) {
            _ = try device.core.kernel.feature(device.core.descriptor, flags, words: words)
            return nil
        } catch { return error }
    }
}
