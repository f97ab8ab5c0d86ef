/// The SR-IOV capability of a physical function (PCI Express Base Specification 5.0, 9.3.3).
public struct PCISingleRootIOV: Sendable, Hashable {
    /// Whether the virtual functions are enabled.
    public let isEnabled: Bool
    /// The maximum number of virtual functions.
    public let totalVirtualFunctions: Int
    /// The configured number of virtual functions.
    public let virtualFunctions: Int
    /// The offset of the first virtual function's routing ID from the physical function's.
    public let firstOffset: Int
    /// The distance of the routing IDs of adjacent virtual functions.
    public let stride: Int
    /// The device ID of the virtual functions, whose own register reads as 0xffff.
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
