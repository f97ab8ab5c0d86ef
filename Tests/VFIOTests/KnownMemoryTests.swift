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
