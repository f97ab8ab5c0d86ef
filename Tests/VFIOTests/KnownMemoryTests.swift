@testable import VFIO

/// What the library knows of a device's memory after calls that failed, and after changes behind its back.
@Suite struct KnownMemoryTests {
    private let config = RegionBytes.config()
    private let kernel: ScriptedKernel

    init() { kernel = ScriptedKernel.machine(config: config) }

    /// Puts memory decode off, as the device or the kernel might.
    private static func putMemoryOff(_ config: RegionBytes) {
        withUnsafeTemporaryAllocation(byteCount: 2, alignment: 2) { bytes in
            bytes.storeBytes(of: 0, as: UInt16.self)
            _ = config.write(at: 4, from: bytes)
        }
    }

    @Test func aFailedResetIsLookedAfter() throws {
        let config = config
        kernel.answerValue(CVFIO_DEVICE_RESET) { (_) throws(Errno) in
            Self.putMemoryOff(config)
            throw .ioError
        }
        let device = try kernel.device()
        let known = device.core.revocation
        #expect(known.current.isMemoryOn)
        expectError(errno: .ioError) { try device.reset() }
        #expect(!known.current.isMemoryOn)
    }

    @Test func aFailedWriteOfConfigSpaceIsLookedAfter() throws {
        let config = config
        let device = try kernel.device()
        let known = device.core.revocation
        kernel.onWriteAt { (_, _) throws(Errno) in
            Self.putMemoryOff(config)
            throw .ioError
        }
        expectError(errno: .ioError) { try device.config.write16(0, at: 4) }
        #expect(!known.current.isMemoryOn)
    }

    @Test func aRefusedLowPowerIsNone() throws {
        kernel.refuse(CVFIO_DEVICE_FEATURE, with: .inappropriateIOCTLForDevice)
        let device = try kernel.device()
        let known = device.core.revocation
        let before = known.current.epoch
        #expect(throws: VFIOError.self) { try device.enterLowPower() }
        #expect(throws: VFIOError.self) { _ = try device.enterLowPowerUntilWakeup() }
        #expect(!known.current.isInLowPower)
        #expect(known.current.isMemoryOn)
        // The kernel revokes before it refuses.
        #expect(known.current.epoch > before)
        #expect(!kernel.openNames.contains("eventfd"))
    }

    @Test func whatLowPowerLeftIsLookedAt() throws {
        kernel.accept(CVFIO_DEVICE_FEATURE)
        let device = try kernel.device()
        let known = device.core.revocation
        try device.enterLowPower()
        #expect(!known.current.isMemoryOn)
        Self.putMemoryOff(config)
        try device.leaveLowPower()
        #expect(!known.current.isInLowPower)
        #expect(!known.current.isMemoryOn)
    }

    @Test func aRefusedWayOutOfLowPowerLeavesTheDeviceInIt() throws {
        kernel.accept(CVFIO_DEVICE_FEATURE)
        let device = try kernel.device()
        let known = device.core.revocation
        try device.enterLowPower()
        kernel.refuse(CVFIO_DEVICE_FEATURE, with: .ioError)
        #expect(throws: VFIOError.self) { try device.leaveLowPower() }
        #expect(known.current.isInLowPower)
    }

    // MARK: A device that is gone

    /// A config space that is not there answers ENODEV: as of a device whose bus was removed.
    private func device(lostAfter setUp: (borrowing Device) throws -> Void = { _ in }) throws -> Device {
        let device = try kernel.device()
        try setUp(device)
        kernel.onReadAt { (_, _) throws(Errno) in throw .operationNotSupportedByDevice }
        kernel.onWriteAt { (_, _) throws(Errno) in throw .operationNotSupportedByDevice }
        return device
    }

    @Test func anAccessThatFindsNoDeviceIsRemembered() throws {
        let device = try kernel.device()
        let window = try device.exportDMABuf(of: .bar0, 0..<4096)
        let peer = try device.space.map(window)
        kernel.onReadAt { (_, _) throws(Errno) in throw .operationNotSupportedByDevice }
        let error = expectError(.deviceGone, errno: .operationNotSupportedByDevice) {
            _ = try device.config.read16(at: 0)
        }
        #expect(error?.subject == "config space of 0000:00:01.0")
        #expect(device.core.revocation.current.memory == .gone)
        #expect(window.state == .revoked)
        #expect(peer.state == .revoked)
        expectError(.deviceGone) { try peer.restore() }
    }

    @Test func aWriteThatFindsNoDeviceIsRemembered() throws {
        let device = try device { try $0.config.updateCommand { _ in } }
        expectError(.deviceGone, errno: .operationNotSupportedByDevice) { try device.config.write8(1, at: 0x3C) }
        #expect(device.core.revocation.current.memory == .gone)
    }

    @Test func aLookThatFindsNoDeviceIsRemembered() throws {
        let device = try device()
        #expect(try device.isPresent() == false)
        #expect(device.core.revocation.current.memory == .gone)
        let config = config
        kernel.onReadAt { (offset, bytes) throws(Errno) in config.read(at: offset & 0xff, into: bytes) }
        #expect(try device.isPresent())
        #expect(device.core.revocation.current.isMemoryOn)
    }

    @Test func aResetThatLeavesNoDeviceIsAFailure() throws {
        let device = try device()
        expectError(.deviceGone) { try device.reset() }
        #expect(device.core.revocation.current.memory == .gone)
    }

    @Test(arguments: [false, true])
    func lowPowerThatLeavesNoDeviceIsAFailure(isSilent: Bool) throws {
        kernel.accept(CVFIO_DEVICE_FEATURE)
        let device = try kernel.device()
        try device.enterLowPower()
        kernel.onReadAt { (_, bytes) throws(Errno) in
            if !isSilent { throw .operationNotSupportedByDevice }
            _ = bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
            return bytes.count
        }
        let error = expectError(.deviceGone) { try device.leaveLowPower() }
        #expect(error?.operation == "leave low power (VFIO_DEVICE_FEATURE_LOW_POWER_EXIT)")
    }

    /// What was true of the device once is not the result of a later write.
    @Test func aWriteToADeviceThatIsBackSucceeds() throws {
        let config = config
        let device = try device { try $0.config.updateCommand { _ in } }
        #expect(try device.isPresent() == false)
        expectError(.deviceGone) { try device.config.write8(5, at: 0x3C) }
        kernel.onReadAt { (offset, bytes) throws(Errno) in config.read(at: offset & 0xff, into: bytes) }
        kernel.onWriteAt { (offset, bytes) throws(Errno) in config.write(at: offset & 0xff, from: bytes) }
        try device.config.write8(7, at: 0x3C)
        #expect(config[0x3C] == 7)
        #expect(device.core.revocation.current.isMemoryOn)
    }

    @Test func aDeviceThatIsNoPCIDeviceIsResetWithoutALookAtItsConfigSpace() throws {
        // As of s390's vfio_ap: it can be reset, and has no regions.
        kernel.accept(CVFIO_DEVICE_GET_INFO, cvfio_device_info.self) { info in
            info.flags = CVFIO_DEVICE_FLAGS_RESET
            info.num_regions = 0
            info.num_irqs = 1
        }
        let device = try kernel.device()
        try device.reset()
        #expect(device.core.revocation.current.isMemoryOn)
        #expect(!kernel.calls.contains { $0.hasPrefix("pread") })
    }

    @Test func aResetDoesNotBeginWithoutWhatIsLookedAtAfterIt() throws {
        let device = try kernel.device()
        kernel.onReadAt { (_, _) throws(Errno) in throw .ioError }
        let before = kernel.calls.count
        expectError(errno: .ioError) { try device.reset() }
        #expect(kernel.calls[before...].allSatisfy { $0 == "pread of config" })
    }

    @Test func whatIsUnknownAfterASuccessIsAskedForWhenItIsNeeded() throws {
        let config = config
        let device = try kernel.device()
        let known = device.core.revocation
        // What does not change is known from here on; a failure to read that prevents the reset.
        try device.config.updateCommand { _ in }
        kernel.onReadAt { (_, _) throws(Errno) in throw .ioError }
        try device.reset()
        #expect(!known.current.isMemoryOn)
        expectError(errno: .ioError) { _ = try device.map(.bar0) }
        kernel.onReadAt { (offset, bytes) throws(Errno) in config.read(at: offset & 0xff, into: bytes) }
        let region = try device.map(.bar0)
        #expect(known.current.isMemoryOn)
        try region.close()
    }
}
