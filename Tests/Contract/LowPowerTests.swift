@testable import VFIO

/// Low power: what is refused meanwhile, what wakes the device, what is revoked.
extension Contract.LowPowerTests {
    @Test("the features are there, to be set only", arguments: Scenario.all)
    func probe(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let descriptor = device.core.descriptor
        let (entry, wakeup, exit) = (
            CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
            CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT
        )
        #expect(try device.supports(.lowPower))
        for feature in [entry, wakeup, exit] {
            #expect(try device.supports(DeviceFeature(rawValue: UInt16(feature))))
            expectErrno(.invalidArgument) {
                try bench.kernel.feature(descriptor, CVFIO_DEVICE_FEATURE_GET | feature, words: [0, 0])
            }
            expectErrno(.invalidArgument) { try bench.kernel.feature(descriptor, feature, words: [0, 0]) }
        }
        let set = CVFIO_DEVICE_FEATURE_SET | wakeup
        expectErrno(.invalidArgument) { try bench.kernel.feature(descriptor, set, words: [0]) }
        expectErrno(.invalidArgument) { try bench.kernel.feature(descriptor, set, words: [.max, 0]) }
        expectErrno(.badFileDescriptor) { try bench.kernel.feature(descriptor, set, words: [1 << 20, 0]) }
        expectErrno(.invalidArgument) {
            try bench.kernel.feature(descriptor, set, words: [UInt32(descriptor.rawValue), 0])
        }
        try device.close()
    }

    @Test("in low power the BARs are out of reach, and config space is not", arguments: Scenario.all)
    func access(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        let version = try device.withRegisters(.bar0) { $0.read32(at: 8) }
        try device.enterLowPower()
        #expect(device.isInLowPower == true)
        expectRefusal(.memoryDecodeOff) { try device.withRegisters(.bar0) { _ = $0.read32(at: 8) } }
        expectRefusal(.memoryDecodeOff) { _ = try device.map(.bar2) }
        expectRefusal(.invalidArgument) { try device.enterLowPower() }
        expectRefusal(.invalidArgument) { _ = try device.enterLowPowerUntilWakeup() }
        expectErrno(.invalidArgument) {
            try bench.kernel.feature(
                device.core.descriptor, CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)
        }
        #expect(try device.read { try $0.vendorID() } == 0x1b36)
        #expect(try device.command().contains(.memoryDecode))
        // Through the descriptor even a BAR answers: the kernel wakes the device for it.
        let region = try device.region(.bar0)
        var found: UInt32 = 0
        try withUnsafeMutableBytes(of: &found) { try device.core.read(region, at: 8, into: $0) }
        #expect(found == version)
        expectRefusal(.memoryDecodeOff) { try device.withRegisters(.bar0) { _ = $0.read32(at: 8) } }
        try device.leaveLowPower()
        #expect(device.isInLowPower == false)
        #expect(try device.withRegisters(.bar0) { $0.read32(at: 8) } == version)
        // Once more changes nothing.
        try device.leaveLowPower()
        try device.enterLowPower()
        try device.leaveLowPower()
        try device.close()
    }

    @Test("low power revokes until it is left", arguments: Scenario.all)
    func revokes(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            let peer = try space.map(window)
            try edu.write([1, 2, 3, 4], at: peer.iova, by: landing)
            try device.enterLowPower()
            #expect(window.state == .revoked)
            #expect(peer.state == .revoked)
            expectRefusal(.memoryDecodeOff) { _ = try space.map(window) }
            try bench.expectFault(.read, at: peer.iova, by: bench.edu) {
                _ = try edu.bytes(4, at: peer.iova, by: landing)
            }
            try device.leaveLowPower()
            #expect(window.state == .live)
            #expect(peer.state == .revoked)
            try peer.restore()
            #expect(peer.state == .live)
            _ = try edu.bytes(4, at: peer.iova, by: landing)
            try closeAll(peer, window)
        }
    }

    @Test("an access wakes the device and raises the event", arguments: Scenario.all)
    func wakeup(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        let wakeup = try device.enterLowPowerUntilWakeup()
        #expect(device.isInLowPower == true)
        #expect(try wakeup.wait(timeout: .milliseconds(100)) == false)
        _ = try device.command()
        #expect(try wakeup.wait(timeout: .milliseconds(500)) == bench.offer.suspendsIdleDevices)
        // To the library it is low power until it is left.
        expectRefusal(.memoryDecodeOff) { try device.withRegisters(.bar0) { _ = $0.read32(at: 8) } }
        try device.leaveLowPower()
        #expect(try device.withRegisters(.bar0) { $0.read32(at: 8) } == 0x0001_0400)
        try closeAll(wakeup, device)
    }
}
