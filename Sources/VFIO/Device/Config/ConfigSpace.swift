/// The configuration space of a device, as vfio-pci shows it: some registers are virtual, and some writes have no
/// effect.
///
/// The library detects writes that make the kernel revoke the device's dma-bufs (memory decode off, D3hot, FLR), so
/// that the state of its dma-bufs and their mappings stays correct.
///
/// A register that reads as all ones is checked: if the device does not answer, the access throws `.deviceGone`.
///
/// This value keeps the device open.
public struct ConfigSpace: Sendable, ConfigRegisters {
    private let lease: DeviceLease
    private var core: DeviceCore { lease.core }

    init(_ core: DeviceCore) {
        lease = DeviceLease(core, for: .config)
    }

    /// Returns the size in bytes: 256 for a conventional PCI device, 4096 with PCI Express.
    public func byteCount() throws(VFIOError) -> UInt64 { try core.byteCount() }

    /// Reads one byte.
    public func read8(at offset: UInt64) throws(VFIOError) -> UInt8 { try core.read8(at: offset) }
    /// Reads 16 bits, at a multiple of 2.
    public func read16(at offset: UInt64) throws(VFIOError) -> UInt16 { try core.read16(at: offset) }
    /// Reads 32 bits, at a multiple of 4.
    public func read32(at offset: UInt64) throws(VFIOError) -> UInt32 { try core.read32(at: offset) }
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

    /// Returns the command register.
    public func command() throws(VFIOError) -> PCICommand {
        PCICommand(rawValue: try read16(at: ConfigLayout.command))
    }

    /// Changes the command register, atomically with respect to other writes of config space through the library.
    ///
    /// Switching memory decode off revokes the device's dma-bufs; after switching it on they can be mapped again.
    ///
    /// - Parameter change: Changes the value. It may use the device. It is called again if config space was written
    ///   meanwhile.
    public func updateCommand(_ change: (inout PCICommand) -> Void) throws(VFIOError) {
        try core.updateConfig(at: ConfigLayout.command) { (value: UInt16) in
            var command = PCICommand(rawValue: value)
            change(&command)
            return command.rawValue
        }
    }
}

extension Device {
    /// The configuration space.
    public var config: ConfigSpace { ConfigSpace(core) }
}
