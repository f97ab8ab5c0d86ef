internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    func readConfig<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(at offset: UInt64) throws(VFIOError)
        -> Value
    {
        try checkAlignment(offset, MemoryLayout<Value>.size, "read")
        let value: Value = try readRegister(at: offset)
        if looksGone(value, at: offset), try !answers() { throw gone("read at \(offset.hexadecimal) (pread)") }
        return value
    }

    private func readRegister<Value: FixedWidthInteger & BitwiseCopyable>(at offset: UInt64) throws(VFIOError) -> Value
    {
        let region = try region(.config)
        var value: Value = 0
        try unsafe withUnsafeMutableBytes(of: &value) { (bytes) throws(VFIOError) in
            try unsafe read(region, at: offset, into: bytes)
        }
        return Value(littleEndian: value)
    }

    // MARK: A device that does not answer

    static let silence =
        "does not answer (all ones): it was removed, lost its power or its link, or did not come back from a reset or low "
        + "power"

    /// Whether a register reads as that of a device which does not answer, if perhaps for another reason.
    private func looksGone<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value, at offset: UInt64) -> Bool {
        // vfio-pci shows one bit of the command register from a copy, and the upper five are always zero otherwise.
        value == Value.max || offset == ConfigLayout.command && UInt16(truncatingIfNeeded: value) >> 11 == 0x1F
    }

    /// Asks whether the device answers, and records it if it does not.
    ///
    /// vfio-pci shows the IDs from a copy; class code, revision and header type come from the device, and are never all
    /// ones.
    func answers() throws(VFIOError) -> Bool {
        guard info.isPCI else { return true }
        do throws(VFIOError) {
            let classAndRevision: UInt32 = try readRegister(at: 0x08)
            guard classAndRevision == .max else { return true }
            let headerType: UInt8 = try readRegister(at: 0x0E)
            guard headerType == .max else { return true }
        } catch {
            guard error.code == .deviceGone else { throw error }
        }
        revocation.setMemory(.gone)
        return false
    }

    /// Whether the device answers, as ``Device/isPresent()``.
    func isPresent() throws(VFIOError) -> Bool {
        guard try answers() else { return false }
        // It may have come back.
        if revocation.current.memory == .gone { withConfigLock { refreshMemoryState() } }
        return true
    }

    /// Records that the device does not answer, and returns the error.
    func gone(_ operation: String, subject: String? = nil, errno: Errno? = nil) -> VFIOError {
        revocation.setMemory(.gone)
        return VFIOError(.deviceGone, operation, subject ?? "\(address)", errno: errno, hint: "it \(Self.silence)")
    }

    /// Returns the error of an access to a region. A config space that is not there says `ENODEV`.
    func accessFailure(_ errno: Errno, _ operation: String, _ region: RegionIndex) -> VFIOError {
        let subject = "\(region) of \(address)"
        return region == .config && errno == .operationNotSupportedByDevice
            ? gone(operation, subject: subject, errno: errno) : VFIOError(refused: errno, operation, subject)
    }

    /// Returns the error for a device that does not answer after an operation, or the operation's own.
    func failure(_ operation: String, _ error: VFIOError?) -> VFIOError? {
        revocation.current.memory == .gone ? gone(error?.operation ?? operation, errno: error?.errno) : error
    }

    // MARK: Writing

    func writeConfig<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: UInt64) throws(VFIOError) {
        try configLock.withLock { (writes) throws(VFIOError) in
            writes += 1
            try store(value, at: offset)
        }
    }

    /// Changes a register atomically with respect to writes of other threads.
    ///
    /// - Parameter change: Called without the lock, and again if the register was changed meanwhile.
    func updateConfig(at offset: UInt64, _ change: (UInt16) -> UInt16) throws(VFIOError) {
        // Each attempt that fails is another thread's update that succeeded, or a change by the closure itself. The last
        // one takes over the bits that were changed. It comes only if the closure changes the register each time.
        let last = 10_000
        for attempt in 1...last {
            let (old, known) = try configLock.withLock { (writes) throws(VFIOError) in
                (try readConfig(at: offset) as UInt16, writes)
            }
            var new = change(old)
            let isDone = try configLock.withLock { (writes) throws(VFIOError) in
                if writes != known {
                    let current: UInt16 = try readConfig(at: offset)
                    guard current == old || attempt == last else { return false }
                    let changed = old ^ new
                    new = current & ~changed | new & changed
                }
                writes += 1
                try store(new, at: offset)
                return true
            }
            if isDone { return }
        }
    }

    private func store<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value, at offset: UInt64
    ) throws(VFIOError) {
        try checkAlignment(offset, MemoryLayout<Value>.size, "write")
        let region = try region(.config)
        let layout = try configLayout()
        let value = value.littleEndian
        let bytes = unsafe withUnsafeBytes(of: value) { unsafe [UInt8]($0) }
        let write = { () throws(VFIOError) in
            try unsafe withUnsafeBytes(of: value) { (bytes) throws(VFIOError) in
                try unsafe self.write(region, at: offset, from: bytes)
            }
        }
        var failure: VFIOError?
        do throws(VFIOError) {
            if layout.revokes(bytes, at: offset) {
                try revocation.revoking(write)
            } else {
                try write()
            }
        } catch {
            failure = error
        }
        // Also after a failed write, which may have taken effect. A device that did not answer may have come back.
        if layout.concernsMemory(bytes.count, at: offset) || revocation.current.memory == .gone {
            refreshMemoryState()
            failure = self.failure("write at \(offset.hexadecimal) (pwrite)", failure)
        }
        if let failure { throw failure }
    }

    // MARK: Memory

    /// Reads what ``refreshMemoryState()`` needs and no operation changes, so that a failure is reported before the
    /// operation, which then has no effect. A device that does not answer is not a reason: a reset may bring it back.
    func prepareRefresh() throws(VFIOError) {
        guard info.isPCI else { return }
        do throws(VFIOError) {
            _ = try configLayout()
        } catch {
            guard error.code == .deviceGone else { throw error }
        }
    }

    /// Updates whether the device's memory responds, after an operation that may have changed it.
    ///
    /// The caller holds the config lock. If the registers cannot be read, the state is unknown until the next call that
    /// depends on it: the operation itself has succeeded.
    func refreshMemoryState() {
        do throws(VFIOError) {
            try readMemoryState()
        } catch {
            if error.code != .deviceGone { revocation.setMemory(.unknown) }
        }
    }

    /// Reads whether the device's memory responds, and records it. The caller holds the config lock.
    func readMemoryState() throws(VFIOError) {
        // Another bus's device has no such registers, and its memory always responds.
        guard info.isPCI else { return }
        // Throws if the device does not answer.
        let command: UInt16 = try readConfig(at: ConfigLayout.command)
        // Memory decode of a virtual function is controlled by its physical function's capability; the kernel emulates
        // the bit.
        var isOn = PCICommand(rawValue: command).contains(.memoryDecode)
        if !isOn { isOn = try isVirtualFunction() }
        if let powerControl = try configLayout().powerControl {
            let power: UInt16 = try readConfig(at: powerControl)
            if power & ConfigLayout.powerStateMask == ConfigLayout.d3hot { isOn = false }
        }
        revocation.setMemory(isOn ? .on : .off)
    }

    /// Whether the device is a virtual function of another one (SR-IOV).
    private func isVirtualFunction() throws(VFIOError) -> Bool {
        if let known = state.withLock({ $0.isVirtualFunction }) { return known }
        let isVirtual = try attempt(
            "ask whether it is a virtual function (physfn)", "\(address)",
            Sysfs(kernel: kernel).physicalFunction(of: address) != nil)
        state.withLock { $0.isVirtualFunction = isVirtual }
        return isVirtual
    }

    private func configLayout() throws(VFIOError) -> ConfigLayout {
        if let known = state.withLock({ $0.configLayout }) { return known }
        let layout = try ConfigLayout(self)
        state.withLock { $0.configLayout = layout }
        return layout
    }

    private func checkAlignment(_ offset: UInt64, _ width: Int, _ verb: String) throws(VFIOError) {
        guard offset.isAligned(to: UInt64(width)) else {
            throw VFIOError(
                .misaligned, "\(verb) \(width) bytes at \(offset.hexadecimal)", "config space of \(address)",
                hint: "the offset has to be a multiple of \(width)")
        }
    }
}

extension DeviceCore: ConfigRegisters {
    func byteCount() throws(VFIOError) -> UInt64 { try region(.config).byteCount }
    func read8(at offset: UInt64) throws(VFIOError) -> UInt8 { try readConfig(at: offset) }
    func read16(at offset: UInt64) throws(VFIOError) -> UInt16 { try readConfig(at: offset) }
    func read32(at offset: UInt64) throws(VFIOError) -> UInt32 { try readConfig(at: offset) }
}
