internal import Synchronization
internal import SystemPackage

/// The configuration space of a device, as vfio-pci shows it: some registers are virtual, and writes to some are held
/// back.
///
/// Writes that make the kernel revoke the device's dma-bufs (memory decode off, D3hot, FLR) are noticed, so that the
/// state of its dma-bufs and their mappings stays true.
///
/// It keeps the device open for as long as it lives.
public struct ConfigSpace: Sendable {
    private let lease: DeviceLease
    private var core: DeviceCore { lease.core }

    init(_ core: DeviceCore) {
        lease = DeviceLease(core, for: .config)
    }

    /// The size in bytes: 256 for a conventional PCI device, 4096 with PCI Express.
    public func byteCount() throws(VFIOError) -> UInt64 { try core.region(.config).byteCount }

    /// Reads one byte.
    public func read8(at offset: UInt64) throws(VFIOError) -> UInt8 { try core.readConfig(at: offset) }
    /// Reads 16 bits, at a multiple of 2.
    public func read16(at offset: UInt64) throws(VFIOError) -> UInt16 { try core.readConfig(at: offset) }
    /// Reads 32 bits, at a multiple of 4.
    public func read32(at offset: UInt64) throws(VFIOError) -> UInt32 { try core.readConfig(at: offset) }
    /// Writes one byte.
    public func write8(_ value: UInt8, at offset: UInt64) throws(VFIOError) { try core.writeConfig(value, at: offset) }
    /// Writes 16 bits, at a multiple of 2.
    public func write16(_ value: UInt16, at offset: UInt64) throws(VFIOError) {
        try core.writeConfig(value, at: offset)
    }
    /// Writes 32 bits, at a multiple of 4.
    public func write32(_ value: UInt32, at offset: UInt64) throws(VFIOError) {
        try core.writeConfig(value, at: offset)
    }

    /// The vendor of the device, as assigned by the PCI-SIG.
    public func vendorID() throws(VFIOError) -> UInt16 { try read16(at: 0x00) }
    /// The device's number among its vendor's.
    public func deviceID() throws(VFIOError) -> UInt16 { try read16(at: 0x02) }

    /// The command register.
    public func command() throws(VFIOError) -> PCICommand {
        PCICommand(rawValue: try read16(at: ConfigLayout.command))
    }

    /// Changes bits of the command register, and leaves the others.
    ///
    /// Memory decode off revokes the device's dma-bufs; on again, they can be mapped again.
    public func updateCommand(_ change: (inout PCICommand) -> Void) throws(VFIOError) {
        try core.updateConfig(at: ConfigLayout.command) { (value: inout UInt16) in
            var command = PCICommand(rawValue: value)
            change(&command)
            value = command.rawValue
        }
    }
}

extension Device {
    /// The configuration space.
    public var config: ConfigSpace { ConfigSpace(core) }
}

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
        try configTurn.withLock { (_) throws(VFIOError) in try store(value, at: offset) }
    }

    /// Changes a register without another thread's write in between.
    func updateConfig<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: UInt64, _ change: (inout Value) -> Void
    ) throws(VFIOError) {
        try configTurn.withLock { (_) throws(VFIOError) in
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
        if layout.revokes(bytes, at: offset) {
            try revocation.revoking(write)
        } else {
            try write()
        }
        if layout.concernsMemory(bytes.count, at: offset) { try refreshMemoryState() }
    }

    /// Asks the device whether its memory answers, after something that may have changed it.
    func refreshMemoryState() throws(VFIOError) {
        let command: UInt16 = try readConfig(at: ConfigLayout.command)
        var isOn = PCICommand(rawValue: command).contains(.memoryDecode)
        if let powerControl = try configLayout().powerControl {
            let power: UInt16 = try readConfig(at: powerControl)
            if power & ConfigLayout.powerStateMask == ConfigLayout.d3hot { isOn = false }
        }
        revocation.setMemory(on: isOn)
    }

    private func configLayout() throws(VFIOError) -> ConfigLayout {
        if let known = state.withLock({ $0.configLayout }) { return known }
        let layout = try ConfigLayout(
            read8: { (offset) throws(VFIOError) in try readConfig(at: offset) },
            read16: { (offset) throws(VFIOError) in try readConfig(at: offset) })
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
