/// The SR-IOV capability of a physical function (PCI Express Base Specification 5.0, 9.3.3).
public struct PCISingleRootIOV: Sendable, Hashable {
    /// Whether the virtual functions are there.
    public let isEnabled: Bool
    /// How many virtual functions the device can have.
    public let totalVirtualFunctions: Int
    /// How many it is set to have.
    public let virtualFunctions: Int
    /// How far the first virtual function's routing id is from the physical one's.
    public let firstOffset: Int
    /// How far one virtual function's routing id is from the next.
    public let stride: Int
    /// The device number of the virtual functions, which read as 0xffff themselves.
    public let virtualDeviceID: UInt16

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        isEnabled = try config.read16(at: offset + 0x08) & 1 != 0
        totalVirtualFunctions = Int(try config.read16(at: offset + 0x0E))
        virtualFunctions = Int(try config.read16(at: offset + 0x10))
        firstOffset = Int(try config.read16(at: offset + 0x14))
        stride = Int(try config.read16(at: offset + 0x16))
        virtualDeviceID = try config.read16(at: offset + 0x1A)
    }
}
