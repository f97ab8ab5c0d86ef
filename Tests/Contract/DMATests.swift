import SystemPackage
import Testing
import VFIO

extension Contract {
    /// DMA of a device to and from memory of the process.
    @Suite struct DMATests {
        @Test("a device reads what the CPU wrote, and the CPU what the device wrote", arguments: Scenario.all)
        func bothWays(_ scenario: Scenario) throws {
            try scenario.run { bench in
                let space = try bench.makeSpace()
                let edu = try EduDriver(at: bench.edu, in: space)
                let buffer = try space.allocate(byteCount: 8192)
                let bytes = (0..<256).map { UInt8($0) }
                buffer.fill(bytes)
                try edu.load(256, from: buffer.iova)
                try edu.store(256, to: buffer.iova + 4096)
                let copied = buffer.bytes(at: 4096, count: 256)
                #expect(copied == bytes)
                try buffer.close()
                try edu.close()
            }
        }
    }
}
