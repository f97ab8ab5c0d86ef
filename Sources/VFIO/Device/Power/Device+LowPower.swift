internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Device {
    private static let lowPowerPlace = "low power needs Linux 6.1 and vfio-pci"

    /// Whether the device was put into low power and not taken out of it since.
    public var isInLowPower: Bool { core.revocation.current.isInLowPower }

    /// Lets the kernel suspend the device: into D3cold or D3hot, whatever the machine can
    /// (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`, Linux 6.1).
    ///
    /// The kernel revokes the device's dma-bufs and takes its mapped regions away, so `withRegisters` and
    /// ``map(_:_:)`` refuse, and a touch of a region that is mapped ends the process with `SIGBUS`. Config space and all
    /// requests go on: the kernel brings the device back for each, and suspends it again afterwards.
    ///
    /// - Throws: `.unsupported` where there is no such thing, `.invalidArgument` when the device is in low power already.
    public func enterLowPower() throws(VFIOError) {
        let operation = "enter low power (VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)"
        try core.enterLowPower(operation, place: Self.lowPowerPlace) { () throws(Errno) in
            try core.feature(CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, CVFIO_DEVICE_FEATURE_SET)
        }
    }

    /// Lets the kernel suspend the device until the first access, of which an event tells
    /// (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`, Linux 6.1).
    ///
    /// Whatever wakes the device, be it a request of this program or the device itself by PME, raises the event, and ends
    /// low power to the kernel. Still call ``leaveLowPower()`` then: before that, the device's dma-bufs stay revoked, and
    /// the library goes on to refuse access to its regions. A kernel without runtime power management never raises it.
    ///
    /// - Throws: `.unsupported` where there is no such thing, `.invalidArgument` when the device is in low power already.
    public func enterLowPowerUntilWakeup() throws(VFIOError) -> WakeupEvent {
        let operation = "enter low power (VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP)"
        let event: OwnedDescriptor
        do throws(Errno) {
            event = OwnedDescriptor(try core.kernel.makeEvent(), of: core.kernel)
        } catch {
            throw VFIOError(.kernel, "make an event (eventfd)", "\(address)", errno: error)
        }
        let number = UInt32(bitPattern: event.descriptor.rawValue)
        try core.enterLowPower(operation, place: Self.lowPowerPlace) { () throws(Errno) in
            try core.feature(
                CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, CVFIO_DEVICE_FEATURE_SET,
                // The descriptor, and a reserved word.
                (0..<8).map { $0 < 4 ? UInt8(truncatingIfNeeded: number.littleEndian >> UInt32($0 * 8)) : 0 })
        }
        return WakeupEvent(event, subject: "\(address)")
    }

    /// Takes the device out of low power (`VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`). Does nothing if it is not in it.
    ///
    /// Its dma-bufs are good again afterwards, if memory decode is on; mappings of them stay revoked, until
    /// ``PeerMapping/restore()``.
    public func leaveLowPower() throws(VFIOError) {
        try core.configTurn.withLock { (_) throws(VFIOError) in
            do throws(Errno) {
                try core.feature(CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT, CVFIO_DEVICE_FEATURE_SET)
            } catch {
                throw core.featureRefusal(
                    error, "leave low power (VFIO_DEVICE_FEATURE_LOW_POWER_EXIT)", place: Self.lowPowerPlace)
            }
            core.revocation.setLowPower(false)
            try core.refreshMemoryState()
        }
    }
}

extension DeviceCore {
    fileprivate func enterLowPower(
        _ operation: String, place: String, _ body: () throws(Errno) -> Void
    ) throws(VFIOError) {
        try configTurn.withLock { (_) throws(VFIOError) in
            // The kernel would refuse too, after it has revoked.
            guard !revocation.current.isInLowPower else {
                throw VFIOError(.invalidArgument, operation, "\(address)", hint: "the device is in low power already")
            }
            do throws(Errno) {
                try revocation.revoking { () throws(Errno) in
                    try body()
                    revocation.setLowPower(true)
                }
            } catch {
                throw featureRefusal(error, operation, place: place)
            }
        }
    }
}
