import Glibc

@testable import VFIO

/// What the kernel takes back, when, and how it is had again.
extension Contract.RevocationTests {
    /// Something that makes the kernel revoke, and what undoes it.
    struct Cause: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let revoke: @Sendable (borrowing Device) throws -> Void
        /// Brings the memory back, if the device does not by itself.
        let undo: (@Sendable (borrowing Device) throws -> Void)?

        static let all = [
            Cause(
                testDescription: "memory decode off", revoke: { try $0.setMemoryDecode(false) },
                undo: { try $0.setMemoryDecode(true) }),
            Cause(testDescription: "reset", revoke: { try $0.reset() }, undo: nil),
            Cause(testDescription: "D3hot", revoke: { try $0.setPowerState(3) }, undo: { try $0.setPowerState(0) }),
            Cause(testDescription: "FLR through config space", revoke: { try $0.startFLR() }, undo: nil),
        ]
    }

    @Test("a mapping faults after it was revoked, and is good again once restored", arguments: Scenario.all, Cause.all)
    func revokeAndRestore(_ scenario: Scenario, _ cause: Cause) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<8192)
            let peer = try space.map(window)
            let iova = peer.iova
            #expect(peer.restoreCount == 0)
            let bytes: [UInt8] = [0xc0, 0xff, 0xee, 0x42]
            try edu.write(bytes, at: iova + 4096, by: landing)

            try cause.revoke(device)
            #expect(peer.state == .revoked)
            if let undo = cause.undo {
                #expect(window.state == .revoked)
                expectRefusal(.memoryDecodeOff) { _ = try space.map(window) }
                expectRefusal(.memoryDecodeOff) { try peer.restore() }
                try undo(device)
            }
            #expect(window.state == .live)
            #expect(peer.state == .revoked)
            // What was refused does not count.
            #expect(peer.restoreCount == 0)

            // The memory is back, and the mapping is not.
            var found: [UInt8] = []
            try bench.expectFault(.read, at: iova + 4096, by: bench.edu) {
                found = try edu.bytes(4, at: iova + 4096, by: landing)
            }
            #expect(found == [0, 0, 0, 0])

            try peer.restore()
            #expect(peer.state == .live)
            #expect(peer.restoreCount == 1)
            #expect(peer.iova == iova)
            let written: [UInt8] = [1, 2, 3, 4]
            try edu.write(written, at: iova + 4096, by: landing)
            found = try edu.bytes(4, at: iova + 4096, by: landing)
            #expect(found == written)
            let bar = try device.map(.bar2, 4096..<8192)
            bar.expect(written)
            try bar.close()
            // Nothing to do, nothing done, and nothing counted.
            try peer.restore()
            #expect(peer.state == .live)
            #expect(peer.restoreCount == 1)
            try closeAll(peer, window)
        }
    }

    @Test("a write to a revoked mapping faults and goes nowhere", arguments: Scenario.all)
    func write(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            let peer = try space.map(window)
            let iova = peer.iova
            try edu.write([9, 9, 9, 9], at: iova, by: landing)
            try device.setMemoryDecode(false)
            try bench.expectFault(.write, at: iova, by: bench.edu) {
                try edu.write([8, 8, 8, 8], at: iova, by: landing)
            }
            try device.setMemoryDecode(true)
            let bar = try device.map(.bar2, 0..<4096)
            bar.expect([9, 9, 9, 9])
            try closeAll(bar, peer, window)
        }
    }

    @Test(
        "the same dma-buf can be mapped, cannot, and can again, as memory decode goes off and on",
        arguments: Scenario.all)
    func sameDescriptor(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .memory) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            // Adopted, so that the library does not know, and the kernel is asked.
            let stranger = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
            for _ in 0..<2 {
                let peer = try space.map(stranger)
                try peer.close()
                try device.setMemoryDecode(false)
                expectRefusal(.revoked, .operationNotSupportedByDevice) { _ = try space.map(stranger) }
                try device.setMemoryDecode(true)
            }
            #expect(stranger.isRevocationTracked == false)
            try closeAll(stranger, window)
        }
    }

    @Test("a mapping from elsewhere is always restored when asked", arguments: Scenario.all)
    func restoreStranger(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            let stranger = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
            let peer = try space.map(stranger)
            try device.setMemoryDecode(false)
            #expect(peer.state == .live)
            expectRefusal(.revoked, .operationNotSupportedByDevice) { try peer.restore() }
            #expect(peer.state == .revoked)
            #expect(peer.restoreCount == 0)
            try device.setMemoryDecode(true)
            try peer.restore()
            #expect(peer.state == .live)
            #expect(peer.restoreCount == 1)
            // Whether it is live is not known, so it is mapped anew, and a transfer of that time may suffer.
            try peer.restore()
            #expect(peer.restoreCount == 2)
            try edu.write([5, 6], at: peer.iova, by: landing)
            try edu.expect([5, 6], at: peer.iova, by: landing)
            try closeAll(peer, stranger, window)
        }
    }

    @Test("closing the exporter is for ever", arguments: Scenario.all)
    func close(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithImport() else { return }
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let landing = try space.allocate(byteCount: 4096)
        var exporter: Device? = try Device(at: bench.memory, in: space)
        let window = try exporter!.exportDMABuf(of: .bar2, 0..<4096)
        let stranger = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
        let peer = try space.map(window)
        try edu.write([1, 2, 3, 4], at: peer.iova, by: landing)
        try exporter.take()!.close()

        #expect(peer.state == .exporterClosed)
        #expect(window.state == .exporterClosed)
        expectRefusal(.exporterClosed) { try peer.restore() }
        expectRefusal(.exporterClosed) { _ = try space.map(window) }
        expectRefusal(.revoked, .operationNotSupportedByDevice) { _ = try space.map(stranger) }
        let iova = peer.iova
        try bench.expectFault(.read, at: iova, by: bench.edu) { try edu.expect([0, 0, 0, 0], at: iova, by: landing) }
        // The same device, opened anew, does not bring the old dma-buf back.
        let second = try Device(at: bench.memory, in: space)
        expectRefusal(.revoked, .operationNotSupportedByDevice) { _ = try space.map(stranger) }
        #expect(window.state == .exporterClosed)
        #expect(window.byteCount == 4096)
        try window.setName("outlived")
        let fresh = try second.exportDMABuf(of: .bar2, 0..<4096)
        let again = try space.map(fresh)
        try edu.expect([1, 2, 3, 4], at: again.iova, by: landing)
        try closeAll(again, fresh, second)
        try closeAll(peer, stranger, window)
        try closeAll(landing, edu)
    }

    @Test("a device without a reset refuses to be reset", arguments: Scenario.all)
    func noReset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        for address in [bench.edu, bench.memory] {
            let device = try Device(at: address, in: space)
            #expect(device.info.canReset == false)
            expectRefusal(.unsupported) { try device.reset() }
            expectErrno(.invalidArgument) {
                try bench.kernel.control(device.core.descriptor, CVFIO_DEVICE_RESET, value: 0)
            }
            try device.close()
        }
    }

    @Test(
        "reset works where there is one, and leaves memory decode on [vfio_pci_device_test.reset]",
        arguments: Scenario.all)
    func reset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        #expect(device.info.canReset)
        try device.updateCommand { $0.insert([.memoryDecode]) }
        try device.reset()
        let command = try device.command()
        #expect(command.contains(.memoryDecode))
        let version = try device.withRegisters(.bar0) { $0.read32(at: 8) }
        #expect(version == 0x0001_0400)
        try device.close()
    }

    @Test("while memory decode is off the library does not touch the device", arguments: Scenario.all)
    func libraryRefuses(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(false)
        expectRefusal(.memoryDecodeOff) { _ = try device.map(.bar2) }
        expectRefusal(.memoryDecodeOff) { _ = try device.withRegisters(.bar2) { $0.read32(at: 0) } }
        try device.setMemoryDecode(true)
        let bar = try device.map(.bar2)
        bar.fill([1, 2, 3])
        // Away and back again: the CPU's mapping, unlike an IOMMU's, comes back by itself.
        try device.setMemoryDecode(false)
        try device.setMemoryDecode(true)
        bar.expect([1, 2, 3])
        try closeAll(bar, device)
    }
}

extension Device {
    /// The first capability with this id, in config space.
    func capability(_ id: UInt8) throws -> UInt64 {
        var offset = UInt64(try config.read8(at: 0x34))
        while offset != 0 {
            if try config.read8(at: offset) == id { return offset }
            offset = UInt64(try config.read8(at: offset + 1))
        }
        throw MissingCapability(id: id)
    }

    struct MissingCapability: Error { let id: UInt8 }

    /// Writes the power state, 0 to 3, into the power management capability.
    func setPowerState(_ state: UInt16) throws {
        let control = try capability(0x01) + 4
        let value = try config.read16(at: control)
        try config.write16(value & ~3 | state, at: control)
    }

    /// Starts a function level reset by the device control register of the PCI Express capability.
    func startFLR() throws {
        let control = try capability(0x10) + 8
        let value = try config.read16(at: control)
        try config.write16(value | 1 << 15, at: control)
    }
}
