import SystemPackage

/// Config space writes with their side effects, resets, and low power.
extension PCIFunction {
    // MARK: Config space

    /// Writes one aligned piece of config space.
    func writeConfig(_ offset: Int, _ count: Int, _ value: UInt32) {
        let command = ConfigSpace.Register.command
        if offset == command, value & UInt32(ConfigSpace.Command.memory) == 0 { moveExports(revoked: true) }
        config.write(offset, count, value)
        if offset == command {
            // Bits 0 and 1: the kernel keeps a copy of them to detect a reset.
            config.shadowCommand = config.shadowCommand & ~3 | UInt16(value & 3)
            settle()
        }
        if offset == command || offset == command + 1 { updateINTx() }
        if let start = config.position[ConfigSpace.Capability.powerManagement], offset == start + 4 {
            setPowerState(UInt8(value & 3))
        }
        if let start = config.position[ConfigSpace.Capability.express], offset >= start, offset < start + 12 {
            resetIfAsked(start)
        }
        if let start = config.position[ConfigSpace.Capability.msi], offset <= start + 2, offset + count > start + 2,
            offset >= start
        {
            limitMSI(start)
        }
    }

    /// Whether the process reaches the BARs.
    var isReachable: Bool { config.isMemoryEnabled && !isInLowPower && config.isAnswering }

    /// Lets the hardware stop answering, or answer again. Nobody notices but by an access.
    func setAnswering(_ isAnswering: Bool) {
        config.isAnswering = isAnswering
        updateMappings()
    }

    /// Updates exports and the process's mappings after a change of memory decode or power.
    func settle() {
        if config.isMemoryEnabled { moveExports(revoked: false) }
        updateMappings()
    }

    private func updateMappings() { bus.memory.updateMappings(of: self, memory, isReachable: isReachable) }

    private func updateINTx() {
        let isDisabled = config.shadowCommand & ConfigSpace.Command.interruptDisable != 0
        guard isDisabled != interrupts.isDisabledByCommand else { return }
        interrupts.isDisabledByCommand = isDisabled
        if isDisabled { maskINTx() } else { unmaskINTx() }
    }

    /// MSI is enabled by `VFIO_DEVICE_SET_IRQS`, not by its capability.
    private func limitMSI(_ start: Int) {
        var flags = config.shadow[start + 2]
        if interrupts.kind != .msi { flags &= ~1 }
        let most = (config.shadow[start + 2] & 0x0e) >> 1
        if (flags & 0x70) >> 4 > most { flags = flags & ~0x70 | most << 4 }
        config.setShadow(start + 2, flags)
    }

    // MARK: Reset

    /// Function level reset by the PCI Express device control register. The bit reads as zero.
    private func resetIfAsked(_ start: Int) {
        guard config.shadow[start + 9] & 0x80 != 0 else { return }
        config.clearShadow(start + 9, mask: 0x80)
        if pci.hasFunctionLevelReset { Self.resetAll([self]) }
    }

    /// Resets functions together, as a bus does, and revokes their exports first.
    static func resetAll(_ functions: [PCIFunction]) {
        for function in functions { function.moveExports(revoked: true) }
        for function in functions { function.reset() }
        for function in functions { function.settle() }
    }

    // MARK: Power

    private func setPowerState(_ state: UInt8) {
        // D1 and D2 are optional, and no device here supports them: the kernel refuses.
        guard state == 0 || state == 3 else { return settle() }
        if state == 3 { moveExports(revoked: true) }
        // The virtual functions require the physical one's power.
        if state == 0 || virtualFunctions?.functions.isEmpty ?? true { config.powerState = state }
        settle()
    }

    func enterLowPower(wake: EventDescriptor?) throws(Errno) {
        moveExports(revoked: true)
        if isInLowPower { throw .invalidArgument }
        isInLowPower = true
        lowPowerWake = wake
        updateMappings()
    }

    func leaveLowPower() {
        isInLowPower = false
        lowPowerWake = nil
        settle()
    }

    /// Resumes the device on an access. With a wakeup eventfd low power ends; otherwise the device suspends again by
    /// itself.
    func wake() {
        // With virtual functions the device was not suspended.
        guard bus.release.hasRuntimePowerManagement, virtualFunctions?.functions.isEmpty ?? true,
            let wake = lowPowerWake
        else { return }
        wake.signal()
        lowPowerWake = nil
        isInLowPower = false
        updateMappings()
    }
}
