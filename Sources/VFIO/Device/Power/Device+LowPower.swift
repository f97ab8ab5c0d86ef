internal import Synchronization
internal import SystemPackage

extension Device {
    private static let lowPowerPlace = "low power needs Linux 6.1 and vfio-pci"

    /// Whether the device was put into low power and not taken out of it since.
    public var isInLowPower: Bool { core.revocation.current.isInLowPower }

    /// Lets the kernel suspend the device, into D3cold or D3hot as the machine supports (Linux 6.1).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`.
    ///
    /// The kernel revokes the device's dma-bufs and its mapped regions: `withRegisters` and ``map(_:_:)`` throw, and an
    /// access to a mapped region ends the process with `SIGBUS`. Config space and all requests still work: the kernel
    /// resumes the device for each, and suspends it again afterwards.
    ///
    /// - Throws: `.unsupported` if the kernel or the driver lacks the feature, `.invalidArgument` if the device is
    ///   already in low power.
    public func enterLowPower() throws(VFIOError) {
        try core.enterLowPower(ABI.enterLowPower(), place: Self.lowPowerPlace)
    }

    /// Lets the kernel suspend the device until the first access, which an event reports (Linux 6.1).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`.
    ///
    /// A request of this program, or a PME of the device, wakes the device, signals the event, and ends low power for
    /// the kernel. Still call ``leaveLowPower()`` then: before that, the device's dma-bufs stay revoked, and the
    /// library still refuses access to its regions. A kernel without runtime power management never signals the event.
    ///
    /// - Throws: `.unsupported` if the kernel or the driver lacks the feature, `.invalidArgument` if the device is
    ///   already in low power.
    public func enterLowPowerUntilWakeup() throws(VFIOError) -> WakeupEvent {
        let event = OwnedDescriptor(
            try attempt("make an event (eventfd)", "\(address)", core.kernel.makeEvent()), of: core.kernel)
        try core.enterLowPower(ABI.enterLowPower(untilWakeupBy: event.descriptor), place: Self.lowPowerPlace)
        return WakeupEvent(event, subject: "\(address)")
    }

    /// Takes the device out of low power, if it is in it.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`.
    ///
    /// Its dma-bufs are live again afterwards, if memory decode is on; mappings of them stay revoked until
    /// ``PeerMapping/restore(evenIfLive:)``.
    ///
    /// - Throws: `.deviceGone` if the device does not answer afterwards.
    public func leaveLowPower() throws(VFIOError) {
        let words = "leave low power"
        try core.configLock.withLock { (_) throws(VFIOError) in
            try core.prepareRefresh()
            try ABI.leaveLowPower().perform(on: core, words, "\(address)", lacking: Self.lowPowerPlace)
            core.revocation.setLowPower(false)
            core.refreshMemoryState()
            if let failure = core.failure(ABI.Call.leaveLowPower.operation(words), nil) { throw failure }
        }
    }
}

extension DeviceCore {
    fileprivate func enterLowPower(
        _ request: some ABIRequest<Void>, place: String
    ) throws(VFIOError) {
        let words = "enter low power"
        try configLock.withLock { (_) throws(VFIOError) in
            // The kernel would also refuse, but after the revocation.
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
