import SystemPackage
import Testing

@testable import VFIO

extension Contract {
    /// One device's memory, reached by another through a dma-buf.
    @Suite struct PeerToPeerTests {
        /// Opens the edu device and an exporter, and lets the test work with both.
        static func withPeers(
            _ scenario: Scenario, exporter: KeyPath<Bench, PCIAddress>,
            sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (borrowing Bench, AddressSpace, borrowing EduDriver, borrowing Device, borrowing DMABuffer) throws
                -> Void
        ) throws {
            try scenario.runWithImport(sourceLocation: sourceLocation) { bench in
                let space = try bench.makeSpace()
                let edu = try EduDriver(at: bench.edu, in: space)
                let device = try Device(at: bench[keyPath: exporter], in: space)
                let landing = try space.allocate(byteCount: 4096)
                try body(bench, space, edu, device, landing)
                try landing.close()
                try device.close()
                try edu.close()
            }
        }

        @Test("a device reads and writes the memory of another", arguments: Scenario.all)
        func bothWays(_ scenario: Scenario) throws {
            for exporter in [\Bench.memory, \Bench.nvme] {
                try Self.withPeers(scenario, exporter: exporter) {
                    bench, space, edu, device, landing in
                    let window = try device.exportDMABuf(of: .bar2, 65536..<131072)
                    let peer = try space.map(window)
                    #expect(peer.state == .live)
                    #expect(peer.byteCount == 65536)
                    #expect(window.isRevocationTracked == true)
                    let bar = try device.map(.bar2)
                    let bytes = (0..<64).map { UInt8($0 ^ 0x5a) }
                    bar.fill(bytes, at: 65536 + 128)
                    let found = try edu.bytes(64, at: peer.iova + 128, by: landing)
                    #expect(found == bytes)
                    try edu.write(bytes.reversed(), at: peer.iova + 65472, by: landing)
                    let written = bar.bytes(at: 131008, count: 64)
                    #expect(written == bytes.reversed())
                    try bar.close()
                    try peer.close()
                    try window.close()
                }
            }
        }

        @Test("only what was exported can be reached", arguments: Scenario.all)
        func onlyTheRange(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.memory) { bench, space, edu, device, landing in
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
                let all = bar.bytes(count: 16384)
                #expect(all == [UInt8](repeating: 0xee, count: 16384))
                try bar.close()
                try peer.close()
                try window.close()
            }
        }

        @Test("a mapping for reading is not for writing", arguments: Scenario.all)
        func readOnly(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.nvme) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, 0..<4096)
                let peer = try space.map(window, access: .read)
                let bar = try device.map(.bar2)
                let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
                bar.fill(bytes)
                bar.fill([UInt8](repeating: 0, count: 8), at: 8)
                // First of all: once a read has brought the page into its cache, QEMU's IOMMU refuses the write silently.
                try bench.expectFault(.write, at: peer.iova, by: bench.edu) { try edu.store(8, to: peer.iova + 8) }
                let found = try edu.bytes(8, at: peer.iova, by: landing)
                #expect(found == bytes)
                let after = bar.bytes(at: 8, count: 8)
                #expect(after == [UInt8](repeating: 0, count: 8))
                try bar.close()
                try peer.close()
                try window.close()
            }
        }

        @Test("what was exported for reading is not mapped for writing", arguments: Scenario.all)
        func exportedForReading(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.memory) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, 0..<4096, access: .read)
                expectRefusal(.invalidArgument) { _ = try space.map(window) }
                expectRefusal(.invalidArgument) { _ = try space.map(window, access: .write) }
                let peer = try space.map(window, access: .read)
                try bench.expectFault(.write, at: peer.iova, by: bench.edu) { try edu.store(8, to: peer.iova) }
                try peer.close()
                try window.close()
            }
        }

        @Test(
            "one dma-buf has as many mappings as are wanted, and they outlive its descriptor", arguments: Scenario.all)
        func twice(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.memory) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, 0..<4096)
                let first = try space.map(window)
                let second = try space.map(window)
                #expect(first.iova != second.iova)
                try window.close()
                try edu.write([0xaa, 0xbb], at: first.iova, by: landing)
                let found = try edu.bytes(2, at: second.iova, by: landing)
                #expect(found == [0xaa, 0xbb])
                try first.close()
                let still = try edu.bytes(2, at: second.iova, by: landing)
                #expect(still == [0xaa, 0xbb])
                try second.close()
            }
        }

        @Test("a device reaches the memory of another through a second address space too", arguments: Scenario.all)
        func secondSpace(_ scenario: Scenario) throws {
            try scenario.runWithImport { bench in
                let eduSpace = try bench.makeSpace()
                let exporterSpace = try bench.makeSpace()
                let edu = try EduDriver(at: bench.edu, in: eduSpace)
                let exporter = try Device(at: bench.nvme, in: exporterSpace)
                let landing = try eduSpace.allocate(byteCount: 4096)
                let window = try exporter.exportDMABuf(of: .bar2, 0..<4096)
                let peer = try eduSpace.map(window)
                let bar = try exporter.map(.bar2, 0..<4096)
                try edu.write([7, 8, 9, 10], at: peer.iova, by: landing)
                let written = bar.bytes(count: 4)
                #expect(written == [7, 8, 9, 10])
                try bar.close()
                try peer.close()
                try window.close()
                try landing.close()
                try exporter.close()
                try edu.close()
            }
        }

        @Test("a dma-buf of several ranges is refused by an iommufd", arguments: Scenario.all)
        func severalRanges(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.memory) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, ranges: [0..<4096, 8192..<12288])
                expectRefusal(.unsupported) { _ = try space.map(window) }
                // The same from elsewhere, where the library does not know the number of ranges, so that the kernel says it.
                let copy = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
                expectRefusal(.unsupported, .notSupported) { _ = try space.map(copy) }
                try copy.close()
                try window.close()
            }
        }

        @Test("a dma-buf does not go over what is mapped, nor out of the ranges", arguments: Scenario.all)
        func placement(_ scenario: Scenario) throws {
            try Self.withPeers(scenario, exporter: \.memory) { bench, space, edu, device, landing in
                let window = try device.exportDMABuf(of: .bar2, 0..<8192)
                expectRefusal(.alreadyMapped, .fileExists) {
                    _ = try space.map(window, placement: .fixed(landing.iova))
                }
                expectRefusal(.outOfRange) { _ = try space.map(window, placement: .fixed(0xfee0_0000)) }
                expectRefusal(.misaligned) { _ = try space.map(window, placement: .fixed(0x4000_0800)) }
                expectRefusal(.outOfRange) {
                    _ = try space.map(window, placement: .fixed(IOVA(0xffff_ffff_ffff_f000)))
                }
                let peer = try space.map(window, placement: .fixed(0x4000_0000))
                #expect(peer.iova == 0x4000_0000)
                expectRefusal(.alreadyMapped, .fileExists) {
                    _ = try space.map(window, placement: .fixed(0x4000_1000))
                }
                try peer.close()
                let again = try space.map(window, placement: .fixed(0x4000_0000))
                try again.close()
                try window.close()
            }
        }
    }
}
