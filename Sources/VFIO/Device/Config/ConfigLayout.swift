/// Where in a function's config space the registers are whose writes make the kernel revoke dma-bufs.
struct ConfigLayout: Sendable {
    /// Of the power management control and status register (PMCSR), which holds the power state.
    var powerControl: UInt64?
    /// Of the device control register of the PCI Express capability, which can start an FLR.
    var expressControl: UInt64?
    /// Of the control register of the Advanced Features capability, which can start an FLR.
    var advancedControl: UInt64?

    static let command: UInt64 = 0x04
    static let flrInExpressControl: UInt16 = 1 << 15
    static let flrInAdvancedControl: UInt8 = 1 << 0
    static let powerStateMask: UInt16 = 0x3
    static let d3hot: UInt16 = 0x3

    private static let status: UInt64 = 0x06
    private static let statusHasCapabilities: UInt16 = 1 << 4
    private static let capabilityPointer: UInt64 = 0x34
    private static let endOfCapabilities: UInt64 = 0x100

    private enum CapabilityID {
        static let powerManagement: UInt8 = 0x01
        static let express: UInt8 = 0x10
        static let advancedFeatures: UInt8 = 0x13
    }

    /// Walks the capability list. It is the device's, and may be broken: the walk ends at a pointer that leads nowhere and
    /// after as many steps as the space has room for.
    init(
        read8: (UInt64) throws(VFIOError) -> UInt8, read16: (UInt64) throws(VFIOError) -> UInt16
    ) throws(VFIOError) {
        guard try read16(Self.status) & Self.statusHasCapabilities != 0 else { return }
        var pointer = UInt64(try read8(Self.capabilityPointer)) & ~3
        for _ in 0..<48 where pointer >= 0x40 && pointer + 2 <= Self.endOfCapabilities {
            switch try read8(pointer) {
            case CapabilityID.powerManagement: powerControl = Self.register(pointer + 4)
            case CapabilityID.express: expressControl = Self.register(pointer + 8)
            case CapabilityID.advancedFeatures: advancedControl = Self.register(pointer + 4)
            default: break
            }
            pointer = UInt64(try read8(pointer + 1)) & ~3
        }
    }

    /// A register of a capability, unless it would lie behind the end of the list's space.
    private static func register(_ offset: UInt64) -> UInt64? { offset + 2 <= endOfCapabilities ? offset : nil }

    /// Whether a write of these bytes at this offset makes the kernel revoke.
    func revokes(_ bytes: [UInt8], at offset: UInt64) -> Bool {
        func byte(_ position: UInt64) -> UInt8? {
            position >= offset && position - offset < UInt64(bytes.count) ? bytes[Int(position - offset)] : nil
        }
        if let command = byte(Self.command), UInt16(command) & PCICommand.memoryDecode.rawValue == 0 { return true }
        if let powerControl, let low = byte(powerControl), UInt16(low) & Self.powerStateMask == Self.d3hot {
            return true
        }
        if let expressControl, let high = byte(expressControl + 1),
            UInt16(high) << 8 & Self.flrInExpressControl != 0
        {
            return true
        }
        if let advancedControl, let low = byte(advancedControl), low & Self.flrInAdvancedControl != 0 { return true }
        return false
    }

    /// Whether a write of this length at this offset may change whether the device's memory answers.
    func concernsMemory(_ count: Int, at offset: UInt64) -> Bool {
        [Self.command, powerControl, expressControl.map { $0 + 1 }, advancedControl].contains { position in
            guard let position, position >= offset else { return false }
            return position - offset < UInt64(count)
        }
    }
}
