internal import Synchronization
internal import SystemPackage

extension Device {
    private static let lowPowerPlace = "low power needs Linux 6.1 and vfio-pci"

    /// Whether the device was put into low power and not taken out of it since.
    public var isInLowPower: Bool { core.revocation.current.isInLowPower }

    /// Lets the kernel suspend the device: into D3cold or D3hot, whatever the machine can (Linux 6.1).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`.
    ///
    /// The kernel revokes the device's dma-bufs and takes its mapped regions away, so `withRegisters` and
    /// ``map(_:_:)`` refuse, and a touch of a region that is mapped ends the process with `SIGBUS`. Config space and all
    /// requests go on: the kernel brings the device back for each, and suspends it again afterwards.
    ///
    /// - Throws: `.unsupported` where there is no such thing, `.invalidArgument` when the device is in low power already.
    public func enterLowPower() throws(VFIOError) {
        try core.enterLowPower(ABI.enterLowPower(), place: Self.lowPowerPlace)
    }

    /// Lets the kernel suspend the device until the first access, of which an event tells (Linux 6.1).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`.
    ///
    /// Whatever wakes the device, be it a request of this program or the device itself by PME, raises the event, and ends
    /// low power to the kernel. Still call ``leaveLowPower()`` then: before that, the device's dma-bufs stay revoked, and
    /// the library goes on to refuse access to its regions. A kernel without runtime power management never raises it.
    ///
    /// - Throws: `.unsupported` where there is no such thing, `.invalidArgument` when the device is in low power already.
    public func enterLowPowerUntilWakeup() throws(VFIOError) -> WakeupEvent {
        let event = OwnedDescriptor(
            try attempt("make an event (eventfd)", "\(address)", core.kernel.makeEvent()), of: core.kernel)
        try core.enterLowPower(ABI.enterLowPower(untilWakeupBy: event.descriptor), place: Self.lowPowerPlace)
        return WakeupEvent(event, subject: "\(address)")
    }

    /// Takes the device out of low power. Does nothing if it is not in it.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`.
    ///
    /// Its dma-bufs are good again afterwards, if memory decode is on; mappings of them stay revoked, until
    /// ``PeerMapping/restore()``.
    public func leaveLowPower() throws(VFIOError) {
        try core.configLock.withLock { (_) throws(VFIOError) in
            try ABI.leaveLowPower().perform(on: core, "leave low power", "\(address)", lacking: Self.lowPowerPlace)
            core.revocation.setLowPower(false)
            try core.refreshMemoryState()
        }
    }
}

extension DeviceCore {
    fileprivate func enterLowPower(
        _ request: some ABIRequest<Void>, place: String
    ) throws(VFIOError) {
        let words = "enter low power"
        try configLock.withLock { (_) throws(VFIOError) in
            // The kernel would refuse too, after it has revoked.
            guard !revocation.current.isInLowPower else {
                throw VFIOError(
                    .invalidArgument, request.call.operation(words), "\(address)",
                    hint: "the device is in low power already")
            }
            try revocation.revoking { () throws(VFIOError) in
                try request.perform(on: self, words, "\(address)", lacking: place)
                revocation.setLowPower(true)
            }
        }
    }
}
