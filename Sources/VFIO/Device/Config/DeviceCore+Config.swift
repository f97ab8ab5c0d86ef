internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    func readConfig<Value: FixedWidthInteger & BitwiseCopyable>(at offset: UInt64) throws(VFIOError) -> Value {
        try checkAlignment(offset, MemoryLayout<Value>.size, "read")
        let region = try region(.config)
        var value: Value = 0
        try unsafe withUnsafeMutableBytes(of: &value) { (bytes) throws(VFIOError) in
            try unsafe read(region, at: offset, into: bytes)
        }
        return Value(littleEndian: value)
    }

    func writeConfig<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: UInt64) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in try store(value, at: offset) }
    }

    /// Changes a register atomically with respect to writes of other threads.
    func updateConfig<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: UInt64, _ change: (inout Value) -> Void
    ) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in
            var value: Value = try readConfig(at: offset)
            change(&value)
            try store(value, at: offset)
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
        do throws(VFIOError) {
            if layout.revokes(bytes, at: offset) {
                try revocation.revoking(write)
            } else {
                try write()
            }
        } catch {
            // Update the state even after a failed write, which may have taken effect.
            if layout.concernsMemory(bytes.count, at: offset) { try? refreshMemoryState() }
            throw error
        }
        if layout.concernsMemory(bytes.count, at: offset) { try refreshMemoryState() }
    }

    /// Updates whether the device's memory responds, after an operation that may have changed it.
    func refreshMemoryState() throws(VFIOError) {
        let command: UInt16 = try readConfig(at: ConfigLayout.command)
        // Memory decode of a virtual function is controlled by its physical function's capability; the kernel emulates
        // the bit.
        var isOn = PCICommand(rawValue: command).contains(.memoryDecode)
        if !isOn { isOn = try isVirtualFunction() }
        if let powerControl = try configLayout().powerControl {
            let power: UInt16 = try readConfig(at: powerControl)
            if power & ConfigLayout.powerStateMask == ConfigLayout.d3hot { isOn = false }
        }
        revocation.setMemory(on: isOn)
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
