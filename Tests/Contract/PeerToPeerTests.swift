@testable import VFIO

/// One device's memory, reached by another through a dma-buf.
extension Contract.PeerToPeerTests {
    enum Exporter { case memory, nvme }

    /// Opens the edu device and an exporter, and lets the test work with both.
    static func withPeers(
        _ scenario: Scenario, exporter: Exporter,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, borrowing EduDriver, borrowing Device, borrowing DMABuffer) throws
            -> Void
    ) throws {
        guard let bench = try scenario.makeBenchWithImport(sourceLocation: sourceLocation) else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let device = try Device(at: exporter == .memory ? bench.memory : bench.nvme, in: space)
        let landing = try space.allocate(byteCount: 4096)
        try body(bench, space, edu, device, landing)
        try closeAll(landing, device, edu)
    }

    @Test("a device reads and writes the memory of another", arguments: Scenario.all)
    func bothWays(_ scenario: Scenario) throws {
        for exporter in [Exporter.memory, .nvme] {
            try Self.withPeers(scenario, exporter: exporter) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, 65536..<131072)
                let peer = try space.map(window)
                #expect(peer.state == .live)
                #expect(peer.byteCount == 65536)
                #expect(window.isRevocationTracked == true)
                let bar = try device.map(.bar2)
                let bytes = (0..<64).map { UInt8($0 ^ 0x5a) }
                bar.fill(bytes, at: 65536 + 128)
                try edu.expect(bytes, at: peer.iova + 128, by: landing)
                try edu.write(bytes.reversed(), at: peer.iova + 65472, by: landing)
                bar.expect(bytes.reversed(), at: 131008)
                try closeAll(bar, peer, window)
            }
        }
    }

    @Test("a large BAR is placed where the IOMMU has large pages", arguments: Scenario.all)
    func hugePages(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<8 << 20)
            // One page at the front, so that the lowest free address is no multiple of 2 MiB.
            let first = try space.allocate(byteCount: 4096)
            let peer = try space.map(window)
            #expect(peer.iova.rawValue % (2 << 20) == 0)
            let bar = try device.map(.bar2)
            #expect(UInt(bitPattern: bar.unsafeBaseAddress) % (2 << 20) == 0)
            let bytes = (0..<64).map { UInt8($0 ^ 0x5a) }
            bar.fill(bytes, at: 5 << 20)
            try edu.expect(bytes, at: peer.iova + (5 << 20), by: landing)
            try closeAll(peer, window, bar, first)
        }
    }

    @Test("only what was exported can be reached", arguments: Scenario.all)
    func onlyTheRange(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 4096..<8192)
            let peer = try space.map(window, placement: .fixed(0x4000_0000))
            let bar = try device.map(.bar2)
            bar.fill([UInt8](repeating: 0xee, count: 16384))
            for iova in [peer.iova + 4096, IOVA(peer.iova.rawValue - 4096)] {
                landing.fill([UInt8](repeating: 0x11, count: 16))
                try bench.expectFault(.write, at: iova, by: bench.edu) {
                    try edu.write([UInt8](repeating: 0x11, count: 16), at: iova, by: landing)
                }
            }
            bar.expect([UInt8](repeating: 0xee, count: 16384))
            try closeAll(bar, peer, window)
        }
    }

    @Test("a mapping for reading is not for writing", arguments: Scenario.all)
    func readOnly(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            let peer = try space.map(window, access: .read)
            let bar = try device.map(.bar2)
            let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
            bar.fill(bytes)
            bar.fill([UInt8](repeating: 0, count: 8), at: 8)
            // First of all: once a read has brought the page into its cache, QEMU's IOMMU refuses the write silently.
            try bench.expectFault(.write, at: peer.iova, by: bench.edu) { try edu.store(8, to: peer.iova + 8) }
            try edu.expect(bytes, at: peer.iova, by: landing)
            bar.expect([UInt8](repeating: 0, count: 8), at: 8)
            try closeAll(bar, peer, window)
        }
    }

    @Test("what was exported for reading is not mapped for writing", arguments: Scenario.all)
    func exportedForReading(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096, access: .read)
            expectRefusal(.invalidArgument) { _ = try space.map(window) }
            expectRefusal(.invalidArgument) { _ = try space.map(window, access: .write) }
            let peer = try space.map(window, access: .read)
            try bench.expectFault(.write, at: peer.iova, by: bench.edu) { try edu.store(8, to: peer.iova) }
            try closeAll(peer, window)
        }
    }

    @Test("one dma-buf has as many mappings as are wanted, and they outlive its descriptor", arguments: Scenario.all)
    func twice(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            let first = try space.map(window)
            let second = try space.map(window)
            #expect(first.iova != second.iova)
            try window.close()
            try edu.write([0xaa, 0xbb], at: first.iova, by: landing)
            try edu.expect([0xaa, 0xbb], at: second.iova, by: landing)
            try first.close()
            try edu.expect([0xaa, 0xbb], at: second.iova, by: landing)
            try second.close()
        }
    }

    @Test("a device reaches the memory of another through a second address space too", arguments: Scenario.all)
    func secondSpace(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let eduSpace = try bench.makeSpace()
        let exporterSpace = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: eduSpace)
        let exporter = try Device(at: bench.nvme, in: exporterSpace)
        let landing = try eduSpace.allocate(byteCount: 4096)
        let window = try exporter.exportDMABuf(of: .bar2, 0..<4096)
        let peer = try eduSpace.map(window)
        let bar = try exporter.map(.bar2, 0..<4096)
        try edu.write([7, 8, 9, 10], at: peer.iova, by: landing)
        bar.expect([7, 8, 9, 10])
        try closeAll(bar, peer, window)
        try closeAll(landing, exporter, edu)
    }

    @Test("a dma-buf of several ranges is refused by an iommufd", arguments: Scenario.all)
    func severalRanges(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, ranges: [0..<4096, 8192..<12288])
            expectRefusal(.unsupported) { _ = try space.map(window) }
            // The same from elsewhere, where the library does not know the number of ranges, so that the kernel says it.
            let copy = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
            expectRefusal(.unsupported, .notSupported) { _ = try space.map(copy) }
            try closeAll(copy, window)
        }
    }

    @Test("a dma-buf does not go over what is mapped, nor out of the ranges", arguments: Scenario.all)
    func placement(_ scenario: Scenario) throws {
        try Self.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<8192)
            expectRefusal(.alreadyMapped, .fileExists) { _ = try space.map(window, placement: .fixed(landing.iova)) }
            expectRefusal(.outOfRange) { _ = try space.map(window, placement: .fixed(0xfee0_0000)) }
            expectRefusal(.misaligned) { _ = try space.map(window, placement: .fixed(0x4000_0800)) }
            expectRefusal(.outOfRange) { _ = try space.map(window, placement: .fixed(IOVA(0xffff_ffff_ffff_f000))) }
            let peer = try space.map(window, placement: .fixed(0x4000_0000))
            #expect(peer.iova == 0x4000_0000)
            expectRefusal(.alreadyMapped, .fileExists) { _ = try space.map(window, placement: .fixed(0x4000_1000)) }
            try peer.close()
            let again = try space.map(window, placement: .fixed(0x4000_0000))
            try closeAll(again, window)
        }
    }
}
