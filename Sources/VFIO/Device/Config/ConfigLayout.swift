/// The config space registers of a function whose writes can make the kernel revoke dma-bufs.
struct ConfigLayout: Sendable {
    /// The power management control and status register (PMCSR), which holds the power state.
    var powerControl: UInt64?
    /// The device control register of the PCI Express capability, which can start an FLR.
    var expressControl: UInt64?
    /// The control register of the Advanced Features capability, which can start an FLR.
    var advancedControl: UInt64?

    static let command: UInt64 = 0x04
    static let flrInExpressControl: UInt16 = 1 << 15
    static let flrInAdvancedControl: UInt8 = 1 << 0
    static let powerStateMask: UInt16 = 0x3
    static let d3hot: UInt16 = 0x3

    /// The end of the space of the capability list.
    private static let endOfCapabilities: UInt64 = 0x100

    /// Creates a layout with no registers but the command register.
    init() {}

    /// Finds the registers by the capability list.
    init(_ config: some ConfigRegisters) throws(VFIOError) {
        for capability in try config.walkCapabilities() {
            switch capability.id {
            case .powerManagement: powerControl = Self.register(capability.offset + 4)
            case .pciExpress: expressControl = Self.register(capability.offset + 8)
            case .advancedFeatures: advancedControl = Self.register(capability.offset + 4)
            default: break
            }
        }
    }

    /// Returns a capability's register, unless it would be after the end of the list's space.
    private static func register(_ offset: UInt64) -> UInt64? { offset + 2 <= endOfCapabilities ? offset : nil }

    /// Returns whether a write of these bytes at this offset makes the kernel revoke.
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

    /// Returns whether a write of this length at this offset may change whether the device's memory responds.
    func concernsMemory(_ count: Int, at offset: UInt64) -> Bool {
        [Self.command, powerControl, expressControl.map { $0 + 1 }, advancedControl].contains { position in
            guard let position, position >= offset else { return false }
            return position - offset < UInt64(count)
        }
    }
}
