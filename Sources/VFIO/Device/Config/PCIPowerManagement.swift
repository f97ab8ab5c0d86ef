/// The power management capability (PCI Bus Power Management Interface Specification 1.2).
public struct PCIPowerManagement: Sendable, Hashable {
    /// The version of the specification that the function follows.
    public let version: UInt8
    /// Whether the function supports D1.
    public let supportsD1: Bool
    /// Whether the function supports D2.
    public let supportsD2: Bool
    /// The current power state: 0 for D0 to 3 for D3hot.
    public let state: UInt8
    /// Whether the function keeps its registers on the transition from D3hot to D0.
    public let keepsStateInD3hot: Bool

    init(_ config: some ConfigRegisters, at offset: UInt64) throws(VFIOError) {
        let capabilities = try config.read16(at: offset + 2)
        let control = try config.read16(at: offset + 4)
        version = UInt8(capabilities & 0x7)
        supportsD1 = capabilities & 1 << 9 != 0
        supportsD2 = capabilities & 1 << 10 != 0
        state = UInt8(control & 0x3)
        keepsStateInD3hot = control & 1 << 3 != 0
    }
}
